/* simavr keeps a chip's peripherals in one list; this finds one of them. */
#pragma once

#include <simavr/sim_avr.h>
#include <simavr/sim_io.h>

/* The first peripheral of this kind ("uart", "adc", "eeprom", "port", "timer", "usb") behind `after`, or the very first
 * when that is NULL. NULL when there is no further one. */
avr_io_t *find_peripheral(avr_t *avr, const char *kind, avr_io_t *after);
