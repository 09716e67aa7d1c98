/*
 * A minimal USB host for boards with native USB: it enumerates the Arduino core's CDC-ACM interface and joins its bulk
 * endpoints to the port. No kernel module (usbip, vhci) is needed.
 */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>
#include <stdint.h>

struct usb_counters {
    uint64_t received; /* by the board */
    uint64_t sent;     /* by the board */
};

/* Returns false when the chip has no USB device. */
bool usb_host_begin(avr_t *avr);

/* Does what is due by now; returns the cycle to be called at next. */
avr_cycle_count_t usb_host_step(void);

/* The device has left the bus, and with it the port. */
void usb_host_mcu_reset(void);

/* Passed on to the board as SET_CONTROL_LINE_STATE and SET_LINE_CODING. */
void usb_host_set_dtr(bool asserted);
void usb_host_set_baud(uint32_t baud);

struct usb_counters usb_host_counters(void);
