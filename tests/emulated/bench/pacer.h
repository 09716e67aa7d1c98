/* Keeps the board's time and the wall clock together. */
#pragma once

#include <simavr/sim_avr.h>
#include <stdint.h>

/* Speed 1 is real time, 0 as fast as it goes. */
void pacer_begin(const avr_t *avr, double speed);
void pacer_set_speed(double speed);

/* Sleeps until the wall clock has caught up with the board. */
void pacer_wait(void);

/* Sleeps a moment while the board stands still. */
void pacer_idle(void);

/* How often the machine fell behind by more than 100 ms; that time is given up, not raced after. */
uint64_t pacer_lag_count(void);

double pacer_wall_seconds(void);
