/*
 * The wire between the board's UART and the port.
 *
 * Bytes take their time both ways (start, data, parity and stop bits at the AVR's baud rate), the receiver holds two
 * bytes and the one in its shift register and then overruns, a host at another baud rate gets and sends garbage, and
 * noise can be put on the line.
 */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>
#include <stdint.h>

/* Probabilities per byte. */
struct line_noise {
    double receive_drop; /* towards the board */
    double receive_flip; /* one random bit */
    double transmit_drop;
    double transmit_flip;
};

struct uart_counters {
    uint64_t received; /* by the board */
    uint64_t sent;     /* by the board */
    uint64_t overruns;
    uint64_t wrong_baud;
};

/* Joins this UART to the port. Returns false when the chip has no such UART. */
bool uart_wire_begin(avr_t *avr, char uart_name, bool check_baud);

/* Moves the bytes that are due by now; returns the cycle to be called at next, or UINT64_MAX. */
avr_cycle_count_t uart_wire_step(void);

/* Bytes half sent are lost. */
void uart_wire_mcu_reset(void);

void uart_wire_set_noise(struct line_noise noise);
struct uart_counters uart_wire_counters(void);
