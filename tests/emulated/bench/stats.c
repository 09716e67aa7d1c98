#include "stats.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "events.h"
#include "host_port.h"
#include "pacer.h"
#include "power.h"
#include "uart_wire.h"
#include "usb_host.h"

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static struct uart_counters read_counters(bool native_usb) {
    if (!native_usb)
        return uart_wire_counters();
    struct usb_counters usb = usb_host_counters();
    return (struct uart_counters){.received = usb.received, .sent = usb.sent};
}

void stats_emit(const avr_t *avr, bool native_usb) {
    struct uart_counters counters = read_counters(native_usb);
    emit_event_with("stats",
                    "\"board_s\":%.3f,\"wall_s\":%.3f,\"cpu_s\":%.3f,\"resets\":%" PRIu64 ",\"lags\":%" PRIu64
                    ",\"received\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"overruns\":%" PRIu64 ",\"wrong_baud\":%" PRIu64
                    ",\"lost\":%" PRIu64,
                    (double)avr->cycle / avr->frequency, pacer_wall_seconds(), cpu_seconds(), power_reset_count(),
                    pacer_lag_count(), counters.received, counters.sent, counters.overruns, counters.wrong_baud,
                    host_port_lost_bytes());
}
