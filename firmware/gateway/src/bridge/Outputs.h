// The outputs of the sketch together: safe values and holds.
#pragma once
#include "Tables.h"

namespace bridging {

void makeOutputsSafe();  // all holds end, all declared safe values are applied
bool lapseHolds();       // outputs whose hold is over go to their safe values; true if there was one

}  // namespace bridging
