/* The board's digital pins: what the sketch makes of them, and what is wired to them. Named as on the chip ("B5"). */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>
#include <stdint.h>

struct pin_name {
    char port;
    uint8_t bit;
};

void pins_begin(avr_t *avr);
bool pin_exists(struct pin_name pin);

/* Emits a "pin" event now and at each change from now on; nothing more for a pin that is watched already. Returns false
 * when no more pins can be watched. */
bool pin_watch(struct pin_name pin);

/* Emits one "pin_read" event. */
void pin_report(struct pin_name pin);

/* Wires the pin to 0 V or to the supply; counts while the sketch has it as an input. */
void pin_drive(struct pin_name pin, bool level);

/* Takes the wire away. */
void pin_release(struct pin_name pin);

/* Notices what no pin edge tells: a change of direction, pull-up or PWM. Once a slice. */
void pins_poll(void);

void pins_mcu_reset(void);
