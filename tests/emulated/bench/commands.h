/* What the test tells the bench: one command a line on standard input, DTR edges from modemshim.so. See README.md. */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>

void commands_begin(avr_t *avr, bool native_usb);

/* Runs what has arrived, without waiting. Each command ends in a "done" or an "error" event. */
void commands_poll(void);

/* "quit" came, or standard input has ended: whoever started the bench is gone. */
bool commands_want_end(void);
