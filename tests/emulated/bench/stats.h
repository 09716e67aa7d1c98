/* The "stats" event. */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>

void stats_emit(const avr_t *avr, bool native_usb);
