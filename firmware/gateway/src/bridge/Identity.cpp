#include "Identity.h"

#include "Framing.h"

#if __has_include(<avr/eeprom.h>)
#include <avr/eeprom.h>

uint32_t bridging::boardId(uint32_t offered) {
  struct {
    uint32_t id;
    uint16_t crc;
  } stored;
  constexpr uint8_t kBlank = 0xFF;
  constexpr uint8_t kSize = sizeof stored.id + sizeof stored.crc;
  void *const place = reinterpret_cast<void *>(E2END + 1 - kSize);  // the last bytes: sketches begin at the first
  eeprom_read_block(&stored, place, kSize);
  if (stored.crc == crc16(&stored.id, sizeof stored.id)) return stored.id;
  // What is there and no id may be a sketch's own data: leave it. Blocks are written from their last byte to their
  // first, so a write that the power cut short leaves that one blank, and is made good.
  if (!offered || uint8_t(stored.id) != kBlank) return 0;
  stored.id = offered;
  stored.crc = crc16(&stored.id, sizeof stored.id);
  eeprom_update_block(&stored, place, kSize);
  return offered;
}

#else

uint32_t bridging::boardId(uint32_t) { return 0; }

#endif
