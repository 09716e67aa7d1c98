// The outputs of the sketch together: safe values and holds.
#pragma once
#include "Tables.h"

namespace bridging {

void makeOutputsSafe();               // all holds end, all declared safe values are applied
bool lapseHolds(uint32_t nowMs);      // outputs whose hold is over go to their safe values; true if there was one
void keepOutput(const Channel &output, Bits value, uint16_t holdMs);  // was just applied; 0 = until further notice

}  // namespace bridging
