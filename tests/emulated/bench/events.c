#include "events.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const avr_t *clock_avr;

void events_begin(const avr_t *avr) {
    clock_avr = avr;
}

static void print_head(const char *kind) {
    uint64_t cycles_per_us = clock_avr->frequency / 1000000;
    printf("{\"event\":\"%s\",\"avr_us\":%" PRIu64, kind, clock_avr->cycle / cycles_per_us);
}

static void print_end(void) {
    puts("}");
    fflush(stdout);
}

void emit_event(const char *kind) {
    print_head(kind);
    print_end();
}

void emit_event_with(const char *kind, const char *members, ...) {
    va_list values;
    print_head(kind);
    putchar(',');
    va_start(values, members);
    vprintf(members, values);
    va_end(values);
    print_end();
}
