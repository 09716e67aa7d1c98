/*
 * emulated-board: a real Arduino firmware in libsimavr, its serial port on a pseudo-terminal.
 *
 * libsimavr is under the GPL, version 3, and so is any program linked with it. The bench is therefore built where the
 * tests run and is never packaged or distributed with the project.
 *
 * One process is one board, so each module keeps its state in one static structure.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <simavr/sim_avr.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "analog.h"
#include "commands.h"
#include "events.h"
#include "host_port.h"
#include "image.h"
#include "options.h"
#include "pacer.h"
#include "pins.h"
#include "power.h"
#include "random.h"
#include "slice.h"
#include "stats.h"
#include "uart_wire.h"
#include "usb_host.h"

enum { CLOCK_HZ = 16000000 };

static volatile sig_atomic_t signal_came;

static void on_signal(int number) {
    (void)number;
    signal_came = 1;
}

static void handle_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void log_errors(avr_t *avr, const int level, const char *format, va_list values) {
    (void)avr;
    if (level <= LOG_ERROR)
        vfprintf(stderr, format, values);
}

/* simavr sleeps when the sketch does, to a clock of its own; the pacer does that here. */
static void no_sleep(avr_t *avr, avr_cycle_count_t cycles) {
    (void)avr;
    (void)cycles;
}

static avr_t *make_mcu(const char *name) {
    avr_t *avr = avr_make_mcu_by_name(name);
    if (avr == NULL) {
        fprintf(stderr, "emulated-board: this libsimavr has no %s\n", name);
        exit(EXIT_FAILURE);
    }
    avr_init(avr);
    avr->frequency = CLOCK_HZ;
    avr->codeend = avr->flashend; /* code may be anywhere: the bootloader writes more of it */
    avr->log = LOG_ERROR;
    avr->sleep = no_sleep;
    return avr;
}

/* What DTR does on a board with a USB-serial chip: its edge passes a capacitor and resets the AVR. */
static void reset_on_dtr(bool asserted, const char *reason) {
    if (asserted)
        power_reset(reason);
}

static void ignore_dtr(bool asserted, const char *reason) {
    (void)asserted;
    (void)reason;
}

static void pass_dtr_to_usb(bool asserted, const char *reason) {
    (void)reason;
    usb_host_set_dtr(asserted);
}

static void ignore_baud(uint32_t baud) {
    (void)baud;
}

static void begin_link(avr_t *avr, const struct options *options) {
    struct host_port_listener uart = {options->auto_reset ? reset_on_dtr : ignore_dtr, ignore_baud};
    struct host_port_listener usb = {pass_dtr_to_usb, usb_host_set_baud};
    bool native_usb = options->model->native_usb;
    host_port_begin(options->port_path, native_usb ? usb : uart);
    bool is_there = native_usb ? usb_host_begin(avr) : uart_wire_begin(avr, options->model->uart, options->check_baud);
    if (!is_there) {
        fprintf(stderr, "emulated-board: this libsimavr's %s has no port to join\n", avr->mmcu);
        exit(EXIT_FAILURE);
    }
}

static void begin(avr_t *avr, const struct options *options) {
    bool native_usb = options->model->native_usb;
    random_seed(options->seed);
    events_begin(avr);
    images_load(avr, options);
    analog_begin(avr);
    pins_begin(avr);
    begin_link(avr, options);
    power_begin(avr, native_usb);
    slice_begin(avr, options->slice_us, native_usb);
    commands_begin(avr, native_usb);
    pacer_begin(avr, options->speed);
}

static void run_board(void) {
    analog_step();
    slice_run();
    pins_poll();
    pacer_wait();
}

static void stand_still(void) {
    host_port_drop_bytes();
    pacer_idle();
}

int main(int argc, char **argv) {
    struct options options = options_parse(argc, argv);
    avr_global_logger_set(log_errors);
    avr_t *avr = make_mcu(options.model->mcu);
    begin(avr, &options);
    handle_signals();
    power_on();
    while (!signal_came && !commands_want_end()) {
        commands_poll();
        host_port_poll();
        if (power_is_running())
            run_board();
        else
            stand_still();
    }
    stats_emit(avr, options.model->native_usb);
    images_save(avr, &options);
    host_port_vanish();
    return EXIT_SUCCESS;
}
