// The board's own 32-bit id. AVRs have no serial number, so the gateway gives a blank board a random one, once.
#pragma once
#include <stdint.h>

namespace bridging {

// The id that the board has, after a blank board took the one offered; 0 = none, where the last bytes of its EEPROM hold
// something else or there is no EEPROM. Takes 20 ms where it writes.
uint32_t boardId(uint32_t offered = 0);

}  // namespace bridging
