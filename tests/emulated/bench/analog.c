#include "analog.h"

#include <math.h>
#include <simavr/avr_adc.h>
#include <simavr/sim_io.h>
#include <stddef.h>

#include "simavr_find.h"

enum {
    SIMAVR_CHANNELS = 8,
    UPPER_MUX_OFFSET = 32, /* MUX5 selects ADC8 to ADC15 on the ATmega2560 */
};

static struct {
    avr_t *avr;
    avr_adc_t *adc;
    avr_irq_t *inputs;
    struct wave waves[ANALOG_CHANNELS];
} analog;

void analog_begin(avr_t *avr) {
    analog.avr = avr;
    analog.adc = (avr_adc_t *)find_peripheral(avr, "adc", NULL);
    analog.inputs = avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0);
    avr->vcc = SUPPLY_MILLIVOLTS;
    avr->avcc = SUPPLY_MILLIVOLTS;
    avr->aref = SUPPLY_MILLIVOLTS;
}

static int clamp_to_supply(int millivolts) {
    if (millivolts < 0)
        return 0;
    return millivolts < SUPPLY_MILLIVOLTS ? millivolts : SUPPLY_MILLIVOLTS;
}

static void apply(int channel, int millivolts) {
    int voltage = clamp_to_supply(millivolts);
    if (channel < SIMAVR_CHANNELS) {
        avr_raise_irq(analog.inputs + channel, (uint32_t)voltage);
        return;
    }
    /* simavr stores eight voltages and reads past them for the Mega's A8 to A15. Those inputs are turned into
     * references, which carry their voltage themselves. */
    analog.adc->muxmode[UPPER_MUX_OFFSET + channel - SIMAVR_CHANNELS] =
        (avr_adc_mux_t){.kind = ADC_MUX_REF, .src = (unsigned)voltage};
}

void analog_set(int channel, int millivolts) {
    analog.waves[channel].shape = WAVE_NONE;
    apply(channel, millivolts);
}

void analog_set_wave(int channel, struct wave wave) {
    analog.waves[channel] = wave;
}

/* 0 to 1 at this moment. */
static double wave_position(const struct wave *wave, double time_s) {
    double phase = fmod(time_s / wave->period_s, 1.0);
    return wave->shape == WAVE_SINE ? 0.5 + 0.5 * sin(2 * M_PI * phase) : phase;
}

void analog_step(void) {
    double time_s = (double)analog.avr->cycle / analog.avr->frequency;
    for (int channel = 0; channel < ANALOG_CHANNELS; channel++) {
        const struct wave *wave = &analog.waves[channel];
        if (wave->shape == WAVE_NONE)
            continue;
        double span = wave->high_millivolts - wave->low_millivolts;
        apply(channel, (int)(wave->low_millivolts + span * wave_position(wave, time_s)));
    }
}
