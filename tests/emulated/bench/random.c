#include "random.h"

static uint64_t state = 88172645463325252u; /* Marsaglia's starting value for xorshift64 */

void random_seed(uint64_t seed) {
    state ^= seed * 0x9E3779B97F4A7C15u; /* odd, so only one seed could give the forbidden state 0 */
    if (state == 0)
        state = 1;
}

uint32_t random_bits(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

bool random_chance(double probability) {
    return probability > 0 && random_bits() / 4294967296.0 < probability;
}
