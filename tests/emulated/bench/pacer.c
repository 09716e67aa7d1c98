#define _GNU_SOURCE
#include "pacer.h"

#include <time.h>

static const uint64_t NS_PER_S = 1000000000u;
static const uint64_t LAG_LIMIT_NS = 100000000u;
static const uint64_t IDLE_NS = 1000000u;

static struct {
    const avr_t *avr;
    double speed;
    uint64_t begin_ns;
    uint64_t origin_ns; /* this moment ... */
    avr_cycle_count_t origin_cycle; /* ... and this cycle belong together */
    uint64_t lag_count;
} pacer;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t due_ns) {
    struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S), .tv_nsec = (long)(due_ns % NS_PER_S)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void start_anew(void) {
    pacer.origin_ns = now_ns();
    pacer.origin_cycle = pacer.avr->cycle;
}

void pacer_begin(const avr_t *avr, double speed) {
    pacer.avr = avr;
    pacer.begin_ns = now_ns();
    pacer_set_speed(speed);
}

void pacer_set_speed(double speed) {
    pacer.speed = speed;
    start_anew();
}

void pacer_wait(void) {
    if (pacer.speed <= 0)
        return;
    double board_ns = (double)(pacer.avr->cycle - pacer.origin_cycle) * ((double)NS_PER_S / pacer.avr->frequency);
    uint64_t due_ns = pacer.origin_ns + (uint64_t)(board_ns / pacer.speed);
    uint64_t now = now_ns();
    if (due_ns > now) {
        sleep_until(due_ns);
    } else if (now - due_ns > LAG_LIMIT_NS) {
        pacer.lag_count++;
        start_anew();
    }
}

void pacer_idle(void) {
    sleep_until(now_ns() + IDLE_NS);
    start_anew();
}

uint64_t pacer_lag_count(void) {
    return pacer.lag_count;
}

double pacer_wall_seconds(void) {
    return (double)(now_ns() - pacer.begin_ns) / (double)NS_PER_S;
}
