/*
 * The serial port as the host sees it: a pseudo-terminal behind a stable path.
 *
 * Stands for the USB-serial chip: a small buffer towards the board, DTR that follows opening and closing (a
 * pseudo-terminal has no modem lines of its own), and bytes that are lost when nobody listens.
 */
#pragma once

#include <simavr/sim_avr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the port tells the board behind it. */
struct host_port_listener {
    void (*dtr_changed)(bool asserted, const char *reason);
    void (*baud_changed)(uint32_t baud);
};

void host_port_begin(const char *path, struct host_port_listener listener);

/* Makes the port appear under its path; exits when it cannot. No effect when it is there already. */
void host_port_appear(void);

/* Removes the port, as pulling the plug does: whoever has it open gets a hang-up. */
void host_port_vanish(void);

/* The path to use from the next appearance on. */
void host_port_rename(const char *path);

/* Notices opening, closing and changes of the baud rate, and takes in what the host has written. */
void host_port_poll(void);

/* A DTR edge from modemshim.so. */
void host_port_set_dtr(bool asserted, const char *reason);

bool host_port_is_open(void);
uint32_t host_port_baud(void);

/* Bytes on their way from the host to the board. */
bool host_port_has_byte(void);
uint8_t host_port_take_byte(void);
void host_port_drop_bytes(void);

/* Bytes for the host. They are lost and counted when the port is closed or the host does not read. */
void host_port_write(const uint8_t *bytes, size_t count);
uint64_t host_port_lost_bytes(void);

/* The datagram socket modemshim.so sends DTR edges to; -1 while there is no port. */
int host_port_modem_socket(void);
