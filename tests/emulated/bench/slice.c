#include "slice.h"

#include <simavr/sim_cycle_timers.h>
#include <stddef.h>

#include "power.h"
#include "uart_wire.h"
#include "usb_host.h"

/* simavr looks at its timers at least this often; bounds how late a byte can be (4 us). */
enum { CYCLES_BETWEEN_TIMERS = 64 };

static struct {
    avr_t *avr;
    bool native_usb;
    avr_cycle_count_t length;
    avr_cycle_count_t end;
} slice;

static avr_cycle_count_t step_link(void) {
    avr_cycle_count_t next = slice.native_usb ? usb_host_step() : uart_wire_step();
    return next < slice.end ? next : slice.end;
}

static avr_cycle_count_t on_link_due(avr_t *avr, avr_cycle_count_t when, void *parameter) {
    (void)when;
    (void)parameter;
    avr_cycle_count_t next = step_link();
    return next > avr->cycle ? next : 0; /* 0 ends the timer; the next slice starts it again */
}

static void start_link_timer(void) {
    avr_cycle_count_t next = step_link();
    avr_cycle_count_t delay = next > slice.avr->cycle ? next - slice.avr->cycle : 1;
    avr_cycle_timer_register(slice.avr, delay, on_link_due, NULL);
}

void slice_begin(avr_t *avr, uint32_t slice_us, bool native_usb) {
    slice.avr = avr;
    slice.native_usb = native_usb;
    slice.length = (avr_cycle_count_t)avr->frequency * slice_us / 1000000;
}

void slice_run(void) {
    slice.end = slice.avr->cycle + slice.length;
    slice.avr->run_cycle_limit = CYCLES_BETWEEN_TIMERS;
    start_link_timer();
    while (slice.avr->cycle < slice.end)
        power_after_step(avr_run(slice.avr));
}
