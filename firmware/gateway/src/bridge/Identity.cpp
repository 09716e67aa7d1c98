#include "Identity.h"

#include "Framing.h"

#if __has_include(<avr/eeprom.h>)
#include <avr/eeprom.h>

namespace bridging {
namespace {

struct Stored {
  uint32_t id;
  uint16_t crc;
};

// The last bytes: sketches use the EEPROM from its start.
void *place() { return reinterpret_cast<void *>(E2END + 1 - sizeof(Stored)); }
uint16_t checksum(const Stored &stored) { return crc16(&stored.id, sizeof stored.id); }

}  // namespace

uint32_t boardId() {
  Stored stored;
  eeprom_read_block(&stored, place(), sizeof stored);
  return stored.crc == checksum(stored) ? stored.id : 0;
}

void giveBoardId(uint32_t id) {
  Stored stored = {id, 0};
  stored.crc = checksum(stored);
  eeprom_update_block(&stored, place(), sizeof stored);
}

}  // namespace bridging

#else

uint32_t bridging::boardId() { return 0; }
void bridging::giveBoardId(uint32_t) {}

#endif
