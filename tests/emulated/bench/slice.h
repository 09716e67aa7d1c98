/* Runs the AVR for a slice of its time, moving the bytes on the link at their exact cycles. */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>
#include <stdint.h>

void slice_begin(avr_t *avr, uint32_t slice_us, bool native_usb);
void slice_run(void);
