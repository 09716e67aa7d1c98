#define _GNU_SOURCE
#include "commands.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "analog.h"
#include "events.h"
#include "host_port.h"
#include "pacer.h"
#include "pins.h"
#include "power.h"
#include "stats.h"
#include "uart_wire.h"

enum { LINE_BYTES = 1024, NAME_BYTES = 16 };

static struct {
    avr_t *avr;
    bool native_usb;
    bool end_wanted;
    char line[LINE_BYTES];
    size_t line_length;
} commands;

static bool parse_pin(const char *arguments, struct pin_name *pin) {
    char port;
    unsigned bit;
    if (sscanf(arguments, "%c%u", &port, &bit) != 2)
        return false;
    *pin = (struct pin_name){.port = port, .bit = (uint8_t)bit};
    return pin_exists(*pin);
}

static bool run_reset(const char *arguments) {
    (void)arguments;
    power_reset("command");
    return true;
}

static bool run_power(const char *arguments) {
    (void)arguments;
    power_on();
    return true;
}

static bool run_unplug(const char *arguments) {
    (void)arguments;
    power_off();
    return true;
}

static bool run_plug(const char *arguments) {
    if (arguments[0] != '\0')
        host_port_rename(arguments);
    power_on();
    return true;
}

static bool run_freeze(const char *arguments) {
    (void)arguments;
    power_freeze();
    return true;
}

static bool run_thaw(const char *arguments) {
    (void)arguments;
    power_thaw();
    return true;
}

static bool run_dtr(const char *arguments) {
    int asserted;
    if (sscanf(arguments, "%d", &asserted) != 1)
        return false;
    host_port_poll(); /* the open that came before this edge has to be seen before it */
    host_port_set_dtr(asserted != 0, "dtr");
    return true;
}

static bool run_adc(const char *arguments) {
    int channel;
    int millivolts;
    if (sscanf(arguments, "%d %d", &channel, &millivolts) != 2 || channel < 0 || channel >= ANALOG_CHANNELS)
        return false;
    analog_set(channel, millivolts);
    return true;
}

static enum wave_shape parse_shape(const char *name) {
    if (strcmp(name, "sine") == 0)
        return WAVE_SINE;
    return strcmp(name, "ramp") == 0 ? WAVE_RAMP : WAVE_NONE;
}

static bool run_wave(const char *arguments) {
    int channel;
    char shape[NAME_BYTES];
    struct wave wave;
    int count = sscanf(arguments, "%d %15s %lf %lf %lf", &channel, shape, &wave.low_millivolts, &wave.high_millivolts,
                       &wave.period_s);
    if (count != 5 || channel < 0 || channel >= ANALOG_CHANNELS || wave.period_s <= 0)
        return false;
    wave.shape = parse_shape(shape);
    analog_set_wave(channel, wave);
    return wave.shape != WAVE_NONE;
}

static bool run_drive(const char *arguments) {
    struct pin_name pin;
    int level;
    if (!parse_pin(arguments, &pin) || sscanf(arguments, "%*s %d", &level) != 1 || level < 0 || level > 1)
        return false;
    pin_drive(pin, level != 0);
    return true;
}

static bool run_release(const char *arguments) {
    struct pin_name pin;
    if (!parse_pin(arguments, &pin))
        return false;
    pin_release(pin);
    return true;
}

static bool run_watch(const char *arguments) {
    struct pin_name pin;
    return parse_pin(arguments, &pin) && pin_watch(pin);
}

static bool run_pin(const char *arguments) {
    struct pin_name pin;
    if (!parse_pin(arguments, &pin))
        return false;
    pin_report(pin);
    return true;
}

static bool run_peek(const char *arguments) {
    enum { MAX_PEEK_BYTES = 256 };
    unsigned address;
    unsigned count;
    char hex[2 * MAX_PEEK_BYTES + 1];
    if (sscanf(arguments, "%x %u", &address, &count) != 2 || count < 1 || count > MAX_PEEK_BYTES)
        return false;
    if (address > commands.avr->ramend || count > commands.avr->ramend + 1u - address)
        return false;
    for (unsigned i = 0; i < count; i++)
        snprintf(hex + 2 * i, 3, "%02x", commands.avr->data[address + i]);
    emit_event_with("memory", "\"address\":%u,\"hex\":\"%s\"", address, hex);
    return true;
}

static bool run_noise(const char *arguments) {
    struct line_noise noise;
    int count = sscanf(arguments, "%lf %lf %lf %lf", &noise.receive_drop, &noise.receive_flip, &noise.transmit_drop,
                       &noise.transmit_flip);
    if (count != 4)
        return false;
    uart_wire_set_noise(noise);
    return true;
}

static bool run_speed(const char *arguments) {
    double speed;
    if (sscanf(arguments, "%lf", &speed) != 1 || !(speed >= 0))
        return false;
    pacer_set_speed(speed);
    return true;
}

static bool run_stats(const char *arguments) {
    (void)arguments;
    stats_emit(commands.avr, commands.native_usb);
    return true;
}

static bool run_sync(const char *arguments) {
    (void)arguments;
    return true;
}

static bool run_quit(const char *arguments) {
    (void)arguments;
    commands.end_wanted = true;
    return true;
}

static const struct command {
    const char *name;
    const char *usage;
    bool (*run)(const char *arguments); /* false: the arguments are not as in `usage` */
} table[] = {
    {"reset", "reset", run_reset},
    {"power", "power", run_power},
    {"unplug", "unplug", run_unplug},
    {"plug", "plug [PATH]", run_plug},
    {"freeze", "freeze", run_freeze},
    {"thaw", "thaw", run_thaw},
    {"dtr", "dtr 0|1", run_dtr},
    {"adc", "adc CHANNEL MILLIVOLTS", run_adc},
    {"wave", "wave CHANNEL sine|ramp LOW_MV HIGH_MV PERIOD_S", run_wave},
    {"drive", "drive PIN 0|1", run_drive},
    {"release", "release PIN", run_release},
    {"watch", "watch PIN", run_watch},
    {"pin", "pin PIN", run_pin},
    {"peek", "peek HEX_ADDRESS COUNT", run_peek},
    {"noise", "noise RX_DROP RX_FLIP TX_DROP TX_FLIP", run_noise},
    {"speed", "speed N", run_speed},
    {"stats", "stats", run_stats},
    {"sync", "sync", run_sync},
    {"quit", "quit", run_quit},
};

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static void run_line(char *line) {
    char *arguments = line + strcspn(line, " ");
    if (*arguments != '\0')
        *arguments++ = '\0';
    const struct command *command = find_command(line);
    if (command == NULL)
        emit_event_with("error", "\"detail\":\"%s\"", "no such command");
    else if (!command->run(arguments))
        emit_event_with("error", "\"detail\":\"usage: %s\"", command->usage);
    else
        emit_event_with("done", "\"command\":\"%s\"", command->name);
}

static void run_complete_lines(void) {
    char *start = commands.line;
    char *end;
    commands.line[commands.line_length] = '\0';
    while ((end = strchr(start, '\n')) != NULL) {
        *end = '\0';
        run_line(start);
        start = end + 1;
    }
    commands.line_length -= (size_t)(start - commands.line);
    memmove(commands.line, start, commands.line_length);
}

static void poll_standard_input(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!commands.end_wanted && poll(&input, 1, 0) > 0) {
        size_t room = sizeof commands.line - 1 - commands.line_length;
        ssize_t count = read(STDIN_FILENO, commands.line + commands.line_length, room);
        if (count <= 0) { /* the end, or a line that is too long */
            commands.end_wanted = true;
            return;
        }
        commands.line_length += (size_t)count;
        run_complete_lines();
    }
}

static void poll_modem_socket(void) {
    char message[NAME_BYTES];
    ssize_t count;
    while ((count = recv(host_port_modem_socket(), message, sizeof message - 1, MSG_DONTWAIT)) > 0) {
        message[count] = '\0';
        run_dtr(message);
    }
}

void commands_begin(avr_t *avr, bool native_usb) {
    commands.avr = avr;
    commands.native_usb = native_usb;
}

void commands_poll(void) {
    poll_standard_input();
    if (host_port_modem_socket() >= 0)
        poll_modem_socket();
}

bool commands_want_end(void) {
    return commands.end_wanted;
}
