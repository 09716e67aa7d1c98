#include "power.h"

#include <simavr/avr_extint.h>
#include <simavr/sim_regbit.h>

#include "events.h"
#include "host_port.h"
#include "pins.h"
#include "random.h"
#include "uart_wire.h"
#include "usb_host.h"

enum { REGISTER_COUNT = 32, MAX_EXTERNAL_INTERRUPTS = 8 };

enum power_state { POWER_OFF, POWER_RUNNING, POWER_FROZEN };

static struct {
    avr_t *avr;
    bool native_usb;
    enum power_state state;
    void (*chip_reset)(avr_t *avr); /* simavr's, for this chip */
    bool reset_is_pending;          /* the core was reset, the rest of the bench not yet */
    uint64_t reset_count;
} power;

/* simavr calls this from the middle of its reset, also for the watchdog's. */
static void on_core_reset(avr_t *avr) {
    if (power.chip_reset != NULL)
        power.chip_reset(avr);
    power.reset_is_pending = true;
}

/* Once the pin of INT0 or INT1 (D2 and D3 on an Uno) has gone low, simavr looks at it every cycle, be the interrupt
 * enabled or not, and takes one more of its 64 timers for each further edge: the emulation then costs six times as much.
 * Interrupts by level become interrupts by falling edge instead. A reset turns the former on again. */
static void relax_level_interrupts(void) {
    for (uint8_t i = 0; i < MAX_EXTERNAL_INTERRUPTS; i++)
        avr_extint_set_strict_lvl_trig(power.avr, i, 0);
}

static void settle_reset(const char *reason) {
    power.reset_is_pending = false;
    power.reset_count++;
    relax_level_interrupts();
    pins_mcu_reset();
    if (power.native_usb)
        usb_host_mcu_reset();
    else
        uart_wire_mcu_reset();
    emit_event_with("reset", "\"reason\":\"%s\"", reason);
}

static void fill_with_noise(uint32_t first, uint32_t last) {
    for (uint32_t address = first; address <= last; address++)
        power.avr->data[address] = (uint8_t)random_bits();
}

void power_begin(avr_t *avr, bool native_usb) {
    power.avr = avr;
    power.native_usb = native_usb;
    power.chip_reset = avr->reset;
    avr->reset = on_core_reset;
}

void power_on(void) {
    power.state = POWER_RUNNING;
    fill_with_noise(0, REGISTER_COUNT - 1);
    fill_with_noise(power.avr->ioend + 1, power.avr->ramend);
    avr_reset(power.avr);
    avr_regbit_set(power.avr, power.avr->reset_flags.porf);
    settle_reset("power-on");
    if (!power.native_usb) /* a native USB port appears when the sketch has been enumerated */
        host_port_appear();
}

void power_off(void) {
    power.state = POWER_OFF;
    host_port_vanish();
}

void power_reset(const char *reason) {
    if (power.state == POWER_OFF)
        return;
    power.state = POWER_RUNNING;
    avr_reset(power.avr);
    avr_regbit_set(power.avr, power.avr->reset_flags.extrf); /* simavr sets only WDRF; bootloaders look at this one */
    settle_reset(reason);
}

void power_freeze(void) {
    if (power.state == POWER_RUNNING)
        power.state = POWER_FROZEN;
}

void power_thaw(void) {
    if (power.state == POWER_FROZEN)
        power.state = POWER_RUNNING;
}

bool power_is_running(void) {
    return power.state == POWER_RUNNING;
}

void power_after_step(int cpu_state) {
    if (power.reset_is_pending)
        settle_reset("watchdog");
    if (cpu_state != cpu_Done && cpu_state != cpu_Crashed)
        return;
    emit_event_with(cpu_state == cpu_Done ? "halted" : "crashed", "\"pc\":%u", power.avr->pc);
    power_reset("crash");
}

uint64_t power_reset_count(void) {
    return power.reset_count;
}
