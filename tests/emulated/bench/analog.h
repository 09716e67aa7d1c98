/* What is connected to the analogue inputs. */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>

enum { ANALOG_CHANNELS = 16, SUPPLY_MILLIVOLTS = 5000 };

enum wave_shape { WAVE_NONE, WAVE_SINE, WAVE_RAMP };

struct wave {
    enum wave_shape shape;
    double low_millivolts;
    double high_millivolts;
    double period_s; /* of the board's time */
};

void analog_begin(avr_t *avr);

/* A constant voltage; ends a wave. */
void analog_set(int channel, int millivolts);

void analog_set_wave(int channel, struct wave wave);

/* Moves the waves on. Once a slice. */
void analog_step(void);
