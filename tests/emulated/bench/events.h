/* What the bench tells the test: one JSON object a line on standard output. */
#pragma once

#include <simavr/sim_avr.h>

/* Events carry the board's own time ("avr_us"), taken from this AVR. */
void events_begin(const avr_t *avr);

/* {"event": KIND, "avr_us": ...} */
void emit_event(const char *kind);

/* As emit_event, with further members: a printf format that gives `"name":value,...`. */
void emit_event_with(const char *kind, const char *members, ...) __attribute__((format(printf, 2, 3)));
