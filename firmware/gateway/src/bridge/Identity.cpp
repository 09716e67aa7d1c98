#include "Identity.h"

#include "Framing.h"

#if __has_include(<avr/eeprom.h>)
#include <avr/eeprom.h>

uint32_t bridging::boardId(uint32_t offered) {
  struct {
    uint32_t id;
    uint16_t crc;
  } stored;
  constexpr uint8_t kSize = sizeof stored.id + sizeof stored.crc;
  void *const place = reinterpret_cast<void *>(E2END + 1 - kSize);  // the last bytes: sketches begin at the first
  eeprom_read_block(&stored, place, kSize);
  if (stored.crc == crc16(&stored.id, sizeof stored.id)) return stored.id;
  if (!offered) return 0;
  stored.id = offered;
  stored.crc = crc16(&stored.id, sizeof stored.id);
  eeprom_update_block(&stored, place, kSize);
  return offered;
}

#else

uint32_t bridging::boardId(uint32_t) { return 0; }

#endif
