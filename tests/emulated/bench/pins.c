#include "pins.h"

#include <simavr/avr_ioport.h>
#include <simavr/avr_timer.h>
#include <simavr/sim_io.h>
#include <simavr/sim_regbit.h>
#include <stddef.h>

#include "events.h"
#include "simavr_find.h"

enum { MAX_WATCHED_PINS = 70, PINS_PER_PORT = 8 };

enum pin_mode { MODE_INPUT, MODE_INPUT_PULLUP, MODE_OUTPUT, MODE_PWM };

static const char *const mode_names[] = {"input", "input_pullup", "output", "pwm"};

struct pin_state {
    enum pin_mode mode;
    int level; /* -1 under PWM */
    int duty;  /* the compare register; -1 without PWM */
};

struct watched_pin {
    struct pin_name name;
    struct pin_state last;
};

static struct {
    avr_t *avr;
    struct watched_pin watched[MAX_WATCHED_PINS];
    int watched_count;
} pins;

static avr_ioport_t *find_port(char name) {
    avr_io_t *io = NULL;
    while ((io = find_peripheral(pins.avr, "port", io)) != NULL)
        if (((avr_ioport_t *)io)->name == name)
            return (avr_ioport_t *)io;
    return NULL;
}

/* The comparator of whichever timer drives this pin now, or NULL. */
static const avr_timer_comp_t *find_pwm(const avr_ioport_t *port, uint8_t bit) {
    avr_io_t *io = NULL;
    while ((io = find_peripheral(pins.avr, "timer", io)) != NULL) {
        const avr_timer_t *timer = (avr_timer_t *)io;
        for (int i = 0; i < AVR_TIMER_COMP_COUNT; i++) {
            const avr_timer_comp_t *comparator = &timer->comp[i];
            bool is_wired = comparator->com_pin.reg == port->r_port && comparator->com_pin.bit == bit;
            if (is_wired && comparator->com.reg != 0 && avr_regbit_get(pins.avr, comparator->com) != 0)
                return comparator;
        }
    }
    return NULL;
}

static int read_duty(const avr_timer_comp_t *comparator) {
    int high_byte = comparator->r_ocrh != 0 ? pins.avr->data[comparator->r_ocrh] : 0;
    return high_byte << 8 | pins.avr->data[comparator->r_ocr];
}

static struct pin_state read_pin(struct pin_name name) {
    const avr_ioport_t *port = find_port(name.port);
    const uint8_t *data = pins.avr->data;
    bool is_output = (data[port->r_ddr] >> name.bit) & 1;
    bool port_bit = (data[port->r_port] >> name.bit) & 1;
    bool pin_bit = (data[port->r_pin] >> name.bit) & 1;
    const avr_timer_comp_t *pwm = is_output ? find_pwm(port, name.bit) : NULL;
    if (pwm != NULL)
        return (struct pin_state){MODE_PWM, -1, read_duty(pwm)};
    if (is_output)
        return (struct pin_state){MODE_OUTPUT, port_bit, -1};
    return (struct pin_state){port_bit ? MODE_INPUT_PULLUP : MODE_INPUT, pin_bit, -1};
}

static bool same_state(struct pin_state a, struct pin_state b) {
    return a.mode == b.mode && a.level == b.level && a.duty == b.duty;
}

static void emit_state(const char *kind, struct pin_name name, struct pin_state state) {
    emit_event_with(kind, "\"pin\":\"%c%u\",\"mode\":\"%s\",\"level\":%d,\"duty\":%d", name.port, name.bit,
                    mode_names[state.mode], state.level, state.duty);
}

static void look_at(struct watched_pin *pin) {
    struct pin_state now = read_pin(pin->name);
    if (same_state(now, pin->last))
        return;
    pin->last = now;
    emit_state("pin", pin->name, now);
}

/* At the very instruction that changes the pin, so that short pulses and their times are seen. simavr's own hook, which
 * stores an input's new level, was registered first and runs first. */
static void on_pin_edge(struct avr_irq_t *irq, uint32_t value, void *parameter) {
    (void)irq;
    (void)value;
    look_at(parameter);
}

static avr_irq_t *pin_irq(struct pin_name name) {
    return avr_io_getirq(pins.avr, AVR_IOCTL_IOPORT_GETIRQ(name.port), name.bit);
}

void pins_begin(avr_t *avr) {
    pins.avr = avr;
}

bool pin_exists(struct pin_name name) {
    return name.bit < PINS_PER_PORT && find_port(name.port) != NULL;
}

void pin_report(struct pin_name name) {
    emit_state("pin_read", name, read_pin(name));
}

static bool is_watched(struct pin_name name) {
    for (int i = 0; i < pins.watched_count; i++)
        if (pins.watched[i].name.port == name.port && pins.watched[i].name.bit == name.bit)
            return true;
    return false;
}

bool pin_watch(struct pin_name name) {
    if (is_watched(name))
        return true;
    if (pins.watched_count == MAX_WATCHED_PINS)
        return false;
    struct watched_pin *pin = &pins.watched[pins.watched_count++];
    *pin = (struct watched_pin){name, read_pin(name)};
    avr_irq_register_notify(pin_irq(name), on_pin_edge, pin);
    emit_state("pin", name, pin->last);
    return true;
}

void pins_poll(void) {
    for (int i = 0; i < pins.watched_count; i++)
        look_at(&pins.watched[i]);
}

/* simavr forgets a level that is only raised on the pin as soon as the sketch writes to the port: with a pull-up on,
 * the pin then reads 1 whatever is wired to it. Its "external" value stays. */
static void set_external(avr_ioport_t *port, uint8_t mask, uint8_t value) {
    avr_ioport_external_t external = {.name = port->name, .mask = mask, .value = value & mask};
    avr_ioctl(pins.avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(port->name), &external);
}

static bool is_input(const avr_ioport_t *port, uint8_t bit) {
    return ((pins.avr->data[port->r_ddr] >> bit) & 1) == 0;
}

void pin_drive(struct pin_name name, bool level) {
    avr_ioport_t *port = find_port(name.port);
    uint8_t mask = 1u << name.bit;
    uint8_t value = level ? port->external.pull_value | mask : port->external.pull_value & ~mask;
    set_external(port, port->external.pull_mask | mask, value);
    if (is_input(port, name.bit))
        avr_raise_irq(pin_irq(name), level);
}

void pin_release(struct pin_name name) {
    avr_ioport_t *port = find_port(name.port);
    bool pull_up = (pins.avr->data[port->r_port] >> name.bit) & 1;
    set_external(port, port->external.pull_mask & ~(1u << name.bit), port->external.pull_value);
    if (is_input(port, name.bit))
        avr_raise_irq(pin_irq(name), pull_up);
}

/* A reset clears simavr's pin registers but not what it remembers of the pins, and it passes on only changes: a pin
 * that was high before would stay low, with a pull-up or a wire to the supply too. */
static void forget_levels(const avr_ioport_t *port) {
    for (uint8_t bit = 0; bit < PINS_PER_PORT; bit++) {
        avr_irq_t *irq = pin_irq((struct pin_name){port->name, bit});
        irq->value = 0;
    }
    pins.avr->data[port->r_pin] = 0;
}

static void restore_wired_levels(const avr_ioport_t *port) {
    for (uint8_t bit = 0; bit < PINS_PER_PORT; bit++)
        if ((port->external.pull_value >> bit) & 1)
            avr_raise_irq(pin_irq((struct pin_name){port->name, bit}), 1);
}

void pins_mcu_reset(void) {
    avr_io_t *io = NULL;
    while ((io = find_peripheral(pins.avr, "port", io)) != NULL) {
        forget_levels((avr_ioport_t *)io);
        restore_wired_levels((avr_ioport_t *)io);
    }
}
