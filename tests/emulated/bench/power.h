/* Power and resets, with everything a reset has to put right that simavr 1.6 does not. */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>
#include <stdint.h>

void power_begin(avr_t *avr, bool native_usb);

/* Power-on reset: SRAM and registers hold noise, as in a chip just switched on. */
void power_on(void);

/* The plug is pulled: the port goes and time stands still. */
void power_off(void);

/* Without effect while the power is off. A hung board runs again. */
void power_reset(const char *reason);

/* A hung board: the port stays, but nothing runs until power_thaw or a reset. Without effect while the power is off. */
void power_freeze(void);
void power_thaw(void);

bool power_is_running(void);

/* After each step of the AVR: notices a watchdog reset, which simavr does behind our back, and a crash. */
void power_after_step(int cpu_state);

uint64_t power_reset_count(void);
