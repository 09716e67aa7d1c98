/* A seeded generator: the same seed gives the same power-on SRAM and the same line noise. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void random_seed(uint64_t seed);
uint32_t random_bits(void);
bool random_chance(double probability);
