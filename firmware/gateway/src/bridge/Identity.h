// The board's own 32-bit id. AVRs have no serial number, so the gateway gives a blank board a random one, once.
#pragma once
#include <stdint.h>

namespace bridging {

uint32_t boardId();            // 0 = blank
void giveBoardId(uint32_t id);  // takes about 20 ms

}  // namespace bridging
