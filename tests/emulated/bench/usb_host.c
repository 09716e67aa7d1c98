#include "usb_host.h"

#include <simavr/avr_usb.h>
#include <simavr/sim_io.h>
#include <simavr/sim_interrupts.h>
#include <string.h>

#include "events.h"
#include "host_port.h"
#include "simavr_find.h"

enum {
    /* Times of a real host, in microseconds of the board's clock. */
    POLL_US = 125,
    FRAME_US = 1000,     /* one start-of-frame a millisecond (USB 2.0, 8.4.3) */
    SETTLE_US = 20000,   /* after attaching, before the bus reset */
    BUS_RESET_US = 10000, /* USB 2.0, 7.1.7.5 */
    CONTROL_ATTEMPTS = 40000, /* 5 s of polls answered with NAK */

    PACKET_BYTES = 64,
    DEVICE_DESCRIPTOR_BYTES = 18,
    CONTROL_DATA_BYTES = 256,

    /* ATmega32U4 registers, from USBCON: simavr knows only the base address. */
    UDCON_OFFSET = 8,
    UDINT_OFFSET = 9,
    UDIEN_OFFSET = 10,
    UDCON_DETACH_BIT = 1 << 0,
    UDINT_SOFI_BIT = 1 << 2,

    /* Requests (USB 2.0, 9.4; CDC PSTN 1.2, 6.3). */
    SET_ADDRESS = 5,
    GET_DESCRIPTOR = 6,
    SET_CONFIGURATION = 9,
    SET_LINE_CODING = 0x20,
    SET_CONTROL_LINE_STATE = 0x22,
    TO_DEVICE = 0x00,
    FROM_DEVICE = 0x80,
    TO_INTERFACE = 0x21,
    DEVICE_DESCRIPTOR = 0x100,
    CONFIGURATION_DESCRIPTOR = 0x200,
    ENDPOINT_DESCRIPTOR_TYPE = 5,
    BULK_TRANSFER_TYPE = 2,
    DTR_AND_RTS = 3,
};

enum bus_state { DETACHED, ATTACHED, RESETTING, ENUMERATING, READY };
enum control_stage { SETUP_STAGE, DATA_STAGE, STATUS_STAGE };

static struct {
    avr_t *avr;
    avr_usb_t *device;
    avr_int_vector_t *general_interrupt;
    enum bus_state state;
    avr_cycle_count_t state_until;
    avr_cycle_count_t next_frame;
    avr_cycle_count_t next_poll;
    int enumeration_step;
    uint8_t device_descriptor[DEVICE_DESCRIPTOR_BYTES];
    uint8_t endpoint_out;
    uint8_t endpoint_in;
    bool dtr;
    uint32_t baud;
    bool line_state_is_due;
    bool line_coding_is_due;
    uint8_t outgoing[PACKET_BYTES]; /* taken from the port, not yet accepted by the board */
    size_t outgoing_count;
    struct usb_counters counters;
} host;

/* The one control transfer under way. */
static struct {
    bool active;
    enum control_stage stage;
    bool from_device;
    uint8_t setup[8];
    uint8_t data[CONTROL_DATA_BYTES];
    size_t expected;
    size_t done;
    int attempts;
} control;

static avr_cycle_count_t cycles(uint32_t microseconds) {
    return (avr_cycle_count_t)host.avr->frequency / 1000000 * microseconds;
}

static uint8_t *usb_register(int offset) {
    return &host.avr->data[host.device->r_usbcon + offset];
}

/* One token on the bus; returns AVR_IOCTL_USB_OK, _NAK or _STALL and the bytes moved in *size. */
static int transact(uint32_t request, uint8_t endpoint, uint8_t *bytes, size_t *size) {
    struct avr_io_usb packet = {.pipe = endpoint, .sz = (uint32_t)*size, .buf = bytes};
    int outcome = avr_ioctl(host.avr, request, &packet);
    *size = packet.sz;
    return outcome;
}

static void start_control(uint8_t type, uint8_t request, uint16_t value, uint16_t length, const void *data) {
    const uint8_t setup[8] = {type, request, (uint8_t)value, value >> 8, 0, 0, (uint8_t)length, length >> 8};
    memset(&control, 0, sizeof control);
    control.active = true;
    control.from_device = (type & FROM_DEVICE) != 0;
    control.expected = length;
    memcpy(control.setup, setup, sizeof setup);
    if (data != NULL)
        memcpy(control.data, data, length);
}

static void step_setup_stage(void) {
    size_t size = sizeof control.setup;
    if (transact(AVR_IOCTL_USB_SETUP, 0, control.setup, &size) == AVR_IOCTL_USB_OK)
        control.stage = control.expected > 0 ? DATA_STAGE : STATUS_STAGE;
}

static void step_data_in(void) {
    uint8_t packet[PACKET_BYTES];
    size_t size = sizeof packet;
    int outcome = transact(AVR_IOCTL_USB_READ, 0, packet, &size);
    if (outcome == AVR_IOCTL_USB_STALL) {
        control.active = false;
        return;
    }
    if (outcome != AVR_IOCTL_USB_OK)
        return;
    size_t room = sizeof control.data - control.done;
    memcpy(control.data + control.done, packet, size < room ? size : room);
    control.done += size < room ? size : room;
    if (size < PACKET_BYTES || control.done >= control.expected)
        control.stage = STATUS_STAGE;
}

static void step_data_out(void) {
    size_t size = control.expected;
    if (transact(AVR_IOCTL_USB_WRITE, 0, control.data, &size) == AVR_IOCTL_USB_OK)
        control.stage = STATUS_STAGE;
}

static void step_status_stage(void) {
    uint8_t packet[PACKET_BYTES];
    size_t size = control.from_device ? 0 : sizeof packet;
    uint32_t direction = control.from_device ? AVR_IOCTL_USB_WRITE : AVR_IOCTL_USB_READ;
    if (transact(direction, 0, packet, &size) != AVR_IOCTL_USB_NAK)
        control.active = false;
}

/* One token of the transfer under way; a NAK leaves it where it is. */
static void step_control(void) {
    if (++control.attempts > CONTROL_ATTEMPTS) {
        emit_event_with("usb", "\"state\":\"control timeout\",\"request\":%d", control.setup[1]);
        control.active = false;
        return;
    }
    switch (control.stage) {
    case SETUP_STAGE: step_setup_stage(); break;
    case DATA_STAGE: control.from_device ? step_data_in() : step_data_out(); break;
    case STATUS_STAGE: step_status_stage(); break;
    }
}

/* The bulk endpoints' numbers, from the configuration descriptor in control.data. */
static void find_endpoints(void) {
    const uint8_t *descriptor = control.data;
    const uint8_t *end = control.data + control.done;
    for (; descriptor + 3 < end && descriptor[0] != 0; descriptor += descriptor[0]) {
        bool is_bulk = descriptor[1] == ENDPOINT_DESCRIPTOR_TYPE && (descriptor[3] & 3) == BULK_TRANSFER_TYPE;
        if (is_bulk && (descriptor[2] & FROM_DEVICE))
            host.endpoint_in = descriptor[2] & 15;
        else if (is_bulk)
            host.endpoint_out = descriptor[2];
    }
}

static void become_ready(void) {
    const uint8_t *descriptor = host.device_descriptor;
    host.state = READY;
    host.line_state_is_due = false;
    host.line_coding_is_due = false;
    emit_event_with("usb", "\"state\":\"ready\",\"vid\":\"%02x%02x\",\"pid\":\"%02x%02x\"", descriptor[9],
                    descriptor[8], descriptor[11], descriptor[10]);
    host_port_appear();
}

/* Called each time the transfer before has ended. */
static void enumerate(void) {
    switch (host.enumeration_step++) {
    case 0: start_control(TO_DEVICE, SET_ADDRESS, 1, 0, NULL); break;
    case 1: start_control(FROM_DEVICE, GET_DESCRIPTOR, DEVICE_DESCRIPTOR, DEVICE_DESCRIPTOR_BYTES, NULL); break;
    case 2:
        memcpy(host.device_descriptor, control.data, sizeof host.device_descriptor);
        start_control(FROM_DEVICE, GET_DESCRIPTOR, CONFIGURATION_DESCRIPTOR, CONTROL_DATA_BYTES - 1, NULL);
        break;
    case 3:
        find_endpoints();
        start_control(TO_DEVICE, SET_CONFIGURATION, 1, 0, NULL);
        break;
    default: become_ready();
    }
}

static void send_line_coding(void) {
    uint32_t baud = host.baud;
    /* rate, 1 stop bit, no parity, 8 data bits */
    const uint8_t coding[7] = {(uint8_t)baud, (uint8_t)(baud >> 8), (uint8_t)(baud >> 16), baud >> 24, 0, 0, 8};
    host.line_coding_is_due = false;
    start_control(TO_INTERFACE, SET_LINE_CODING, 0, sizeof coding, coding);
}

static void send_line_state(void) {
    host.line_state_is_due = false;
    start_control(TO_INTERFACE, SET_CONTROL_LINE_STATE, host.dtr ? DTR_AND_RTS : 0, 0, NULL);
}

static void move_to_port(void) {
    uint8_t packet[PACKET_BYTES];
    size_t size = sizeof packet;
    if (!host_port_is_open() || !host.dtr)
        return; /* nobody reads: it stays in the endpoint, as on a real bus */
    if (transact(AVR_IOCTL_USB_READ, host.endpoint_in, packet, &size) != AVR_IOCTL_USB_OK)
        return;
    host.counters.sent += size;
    host_port_write(packet, size);
}

static void move_to_board(void) {
    while (host.outgoing_count < sizeof host.outgoing && host_port_has_byte())
        host.outgoing[host.outgoing_count++] = host_port_take_byte();
    size_t size = host.outgoing_count;
    if (size == 0 || transact(AVR_IOCTL_USB_WRITE, host.endpoint_out, host.outgoing, &size) != AVR_IOCTL_USB_OK)
        return;
    host.counters.received += host.outgoing_count;
    host.outgoing_count = 0;
}

static void start_of_frame(void) {
    host.next_frame = host.avr->cycle + cycles(FRAME_US);
    *usb_register(UDINT_OFFSET) |= UDINT_SOFI_BIT;
    if (host.general_interrupt != NULL && (*usb_register(UDIEN_OFFSET) & UDINT_SOFI_BIT))
        avr_raise_interrupt(host.avr, host.general_interrupt);
}

static void step_bus_state(void) {
    if (host.state > ATTACHED && (*usb_register(UDCON_OFFSET) & UDCON_DETACH_BIT)) {
        emit_event_with("usb", "\"state\":\"%s\"", "detached");
        usb_host_mcu_reset();
    }
    if (host.state == ATTACHED && host.avr->cycle >= host.state_until) {
        avr_ioctl(host.avr, AVR_IOCTL_USB_RESET, NULL);
        host.state = RESETTING;
        host.state_until = host.avr->cycle + cycles(BUS_RESET_US);
    } else if (host.state == RESETTING && host.avr->cycle >= host.state_until) {
        host.enumeration_step = 0;
        host.state = ENUMERATING;
    }
}

/* The board knows the baud rate and the state of DTR. */
static bool board_is_told(void) {
    return !control.active && !host.line_coding_is_due && !host.line_state_is_due;
}

static void step_transfers(void) {
    if (control.active)
        step_control();
    else if (host.state == ENUMERATING)
        enumerate();
    else if (host.line_coding_is_due)
        send_line_coding();
    else if (host.line_state_is_due)
        send_line_state();
    if (host.state == READY) {
        move_to_port();
        if (board_is_told()) /* a host's open() returns only then, so no byte is earlier */
            move_to_board();
    }
}

avr_cycle_count_t usb_host_step(void) {
    if (host.avr->cycle < host.next_poll)
        return host.next_poll;
    host.next_poll = host.avr->cycle + cycles(POLL_US);
    step_bus_state();
    if (host.state >= ENUMERATING) {
        if (host.avr->cycle >= host.next_frame)
            start_of_frame();
        step_transfers();
    }
    return host.next_poll;
}

static void on_attach(struct avr_irq_t *irq, uint32_t attached, void *parameter) {
    (void)irq;
    (void)parameter;
    if (!attached)
        return;
    usb_host_mcu_reset();
    host.state = ATTACHED;
    host.state_until = host.avr->cycle + cycles(SETTLE_US);
}

void usb_host_mcu_reset(void) {
    host.state = DETACHED;
    host.dtr = false;
    host.outgoing_count = 0;
    control.active = false;
    host_port_vanish();
}

void usb_host_set_dtr(bool asserted) {
    host.dtr = asserted;
    host.line_coding_is_due = true;
    host.line_state_is_due = true;
}

void usb_host_set_baud(uint32_t baud) {
    host.baud = baud;
    host.line_coding_is_due = true;
}

struct usb_counters usb_host_counters(void) {
    return host.counters;
}

static avr_int_vector_t *find_interrupt(avr_t *avr, uint8_t number) {
    for (int i = 0; i < avr->interrupts.vector_count; i++)
        if (avr->interrupts.vector[i]->vector == number)
            return avr->interrupts.vector[i];
    return NULL;
}

bool usb_host_begin(avr_t *avr) {
    host.avr = avr;
    host.device = (avr_usb_t *)find_peripheral(avr, "usb", NULL);
    if (host.device == NULL)
        return false;
    host.general_interrupt = find_interrupt(avr, host.device->usb_gen_vect);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_USB_GETIRQ(), USB_IRQ_ATTACH), on_attach, NULL);
    return true;
}
