#include "uart_wire.h"

#include <simavr/avr_uart.h>
#include <simavr/sim_io.h>
#include <simavr/sim_regbit.h>

#include "host_port.h"
#include "random.h"
#include "simavr_find.h"

/* simavr's uart_fifo accessors are static and have to be instantiated by each user of them. */
DEFINE_FIFO(uint16_t, uart_fifo);

enum {
    TRANSMIT_QUEUE_BYTES = 512, /* far more than a UART can have under way */
    WRITE_CHUNK_BYTES = 64,
    RECEIVER_CAPACITY = 3,      /* two-byte FIFO and the shift register (ATmega328P data sheet, 19.7) */
    RESYNC_BITS = 4,            /* bytes closer than this are taken for an unbroken stream */
    DOUBLE_BUFFER_CYCLES = 160, /* how long before the stop bit's end UDR takes the next byte: 10 us at 16 MHz */
    PARITY_ENABLED_BIT = 0x20,  /* UPMn1 in UCSRnC */
};

/* A receiver samples a byte wrongly when the two rates differ by more than this. */
static const double BAUD_TOLERANCE = 0.045;
static const avr_cycle_count_t NEVER = UINT64_MAX;

struct timed_byte {
    uint8_t value;
    avr_cycle_count_t stop_bit_end;
};

static struct {
    avr_t *avr;
    avr_uart_t *uart;
    avr_irq_t *input;
    bool check_baud;
    struct line_noise noise;
    struct uart_counters counters;
    bool receiving;                  /* a byte is on the wire towards the board */
    avr_cycle_count_t receive_end;   /* end of that byte, or of the last one */
    struct timed_byte transmitting[TRANSMIT_QUEUE_BYTES]; /* a ring; the counts below only grow */
    unsigned transmit_queued;
    unsigned transmit_taken;
    avr_cycle_count_t transmit_end;  /* end of the last byte queued */
} wire;

static avr_cycle_count_t later(avr_cycle_count_t a, avr_cycle_count_t b) {
    return a > b ? a : b;
}

static avr_cycle_count_t earlier(avr_cycle_count_t a, avr_cycle_count_t b) {
    return a < b ? a : b;
}

static uint32_t cycles_per_bit(void) {
    uint32_t divider = avr_regbit_get(wire.avr, wire.uart->ubrrl) | (avr_regbit_get(wire.avr, wire.uart->ubrrh) << 8);
    return (divider + 1) * (avr_regbit_get(wire.avr, wire.uart->u2x) ? 8 : 16);
}

/* simavr always counts a parity bit, 11 bits to a byte; this counts it when it is switched on. */
static uint32_t cycles_per_byte(void) {
    static const uint8_t data_bits[] = {5, 6, 7, 8, 8, 8, 8, 9};
    unsigned size = avr_regbit_get(wire.avr, wire.uart->ucsz) | (avr_regbit_get(wire.avr, wire.uart->ucsz2) << 2);
    unsigned parity_bits = (wire.avr->data[wire.uart->r_ucsrc] & PARITY_ENABLED_BIT) ? 1 : 0;
    unsigned stop_bits = 1 + avr_regbit_get(wire.avr, wire.uart->usbs);
    return cycles_per_bit() * (1 + data_bits[size] + parity_bits + stop_bits);
}

static bool baud_is_wrong(void) {
    uint32_t host_baud = host_port_baud();
    if (!wire.check_baud || host_baud == 0)
        return false;
    double ratio = (double)wire.avr->frequency / cycles_per_bit() / host_baud;
    return ratio < 1 - BAUD_TOLERANCE || ratio > 1 + BAUD_TOLERANCE;
}

/* The byte as it leaves the wire, or nothing (false). */
static bool pass_line(uint8_t *value, double drop, double flip) {
    if (baud_is_wrong()) {
        *value = (uint8_t)random_bits();
        wire.counters.wrong_baud++;
    }
    if (random_chance(drop))
        return false;
    if (random_chance(flip))
        *value ^= 1u << (random_bits() & 7);
    return true;
}

/* The sketch has written UDR. */
static void on_transmit(struct avr_irq_t *irq, uint32_t value, void *parameter) {
    (void)irq;
    (void)parameter;
    uint8_t byte = (uint8_t)value;
    wire.transmit_end = later(wire.transmit_end, wire.avr->cycle) + cycles_per_byte();
    wire.counters.sent++;
    /* simavr has no transmit buffer: it reports UDR empty only after the whole byte, so back-to-back bytes would have
     * gaps. Reporting it shortly before the end stands in for the double buffer. */
    avr_cycle_count_t remaining = wire.transmit_end - wire.avr->cycle;
    wire.uart->cycles_per_byte =
        remaining > 2 * DOUBLE_BUFFER_CYCLES ? remaining - DOUBLE_BUFFER_CYCLES : remaining / 2 + 1;
    if (!pass_line(&byte, wire.noise.transmit_drop, wire.noise.transmit_flip))
        return;
    if (wire.transmit_queued - wire.transmit_taken == TRANSMIT_QUEUE_BYTES)
        return;
    wire.transmitting[wire.transmit_queued++ % TRANSMIT_QUEUE_BYTES] =
        (struct timed_byte){.value = byte, .stop_bit_end = wire.transmit_end};
}

static void deliver(uint8_t byte) {
    wire.counters.received++;
    if (!pass_line(&byte, wire.noise.receive_drop, wire.noise.receive_flip))
        return;
    if (uart_fifo_get_read_size(&wire.uart->input) >= RECEIVER_CAPACITY) { /* simavr's own FIFO holds 64 */
        wire.counters.overruns++;
        avr_regbit_set(wire.avr, wire.uart->dor);
        return;
    }
    /* simavr would let a byte time pass before it reports the byte; it has passed on our wire already. */
    avr_cycle_count_t saved = wire.uart->cycles_per_byte;
    wire.uart->cycles_per_byte = 2;
    avr_raise_irq(wire.input, byte);
    wire.uart->cycles_per_byte = saved;
}

static void start_receiving(void) {
    bool unbroken = wire.receive_end + RESYNC_BITS * cycles_per_bit() > wire.avr->cycle;
    wire.receive_end = (unbroken ? wire.receive_end : wire.avr->cycle) + cycles_per_byte();
    wire.receiving = true;
}

static avr_cycle_count_t step_receive(void) {
    while (host_port_has_byte()) {
        if (!wire.receiving)
            start_receiving();
        if (wire.receive_end > wire.avr->cycle)
            return wire.receive_end;
        wire.receiving = false;
        deliver(host_port_take_byte());
    }
    return NEVER;
}

static avr_cycle_count_t step_transmit(void) {
    uint8_t due[WRITE_CHUNK_BYTES];
    size_t count = 0;
    avr_cycle_count_t next = NEVER;
    while (wire.transmit_taken != wire.transmit_queued && count < sizeof due) {
        const struct timed_byte *oldest = &wire.transmitting[wire.transmit_taken % TRANSMIT_QUEUE_BYTES];
        if (oldest->stop_bit_end > wire.avr->cycle) {
            next = oldest->stop_bit_end;
            break;
        }
        due[count++] = oldest->value;
        wire.transmit_taken++;
    }
    if (count > 0)
        host_port_write(due, count);
    return next;
}

avr_cycle_count_t uart_wire_step(void) {
    return earlier(step_receive(), step_transmit());
}

void uart_wire_mcu_reset(void) {
    wire.receiving = false;
    wire.transmit_end = wire.avr->cycle;
    wire.transmit_taken = wire.transmit_queued;
}

void uart_wire_set_noise(struct line_noise noise) {
    wire.noise = noise;
}

struct uart_counters uart_wire_counters(void) {
    return wire.counters;
}

static avr_uart_t *find_uart(avr_t *avr, char name) {
    avr_io_t *io = NULL;
    while ((io = find_peripheral(avr, "uart", io)) != NULL)
        if (((avr_uart_t *)io)->name == name)
            return (avr_uart_t *)io;
    return NULL;
}

bool uart_wire_begin(avr_t *avr, char uart_name, bool check_baud) {
    wire.avr = avr;
    wire.check_baud = check_baud;
    wire.uart = find_uart(avr, uart_name);
    if (wire.uart == NULL)
        return false;
    /* Clears POLL_SLEEP, which makes simavr sleep at each look at UCSRnA: a bootloader that polls would run some 200
     * times too slowly and never time out. */
    uint32_t no_flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS(uart_name), &no_flags);
    wire.input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ(uart_name), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ(uart_name), UART_IRQ_OUTPUT), on_transmit, NULL);
    return true;
}
