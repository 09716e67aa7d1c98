#define _GNU_SOURCE
#include "host_port.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "events.h"
#include "modem_address.h"

/* Like the buffer of an Uno's USB chip: a host that writes faster than the wire is made to wait. */
enum { RECEIVE_BUFFER_BYTES = 128, READ_CHUNK_BYTES = 64, PATH_BYTES = 256 };

static struct {
    char path[PATH_BYTES];
    char pty_name[64];
    int master; /* -1: no port */
    int modem_socket;
    bool is_open;
    bool dtr;
    bool drops_dtr_on_close; /* the host's HUPCL flag */
    uint32_t baud;
    uint8_t received[RECEIVE_BUFFER_BYTES];
    size_t received_count;
    size_t received_taken;
    uint64_t lost_bytes;
    struct host_port_listener listener;
} port = {.master = -1, .modem_socket = -1};

__attribute__((noreturn)) static void fail(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

void host_port_begin(const char *path, struct host_port_listener listener) {
    port.listener = listener;
    host_port_rename(path);
}

void host_port_rename(const char *path) {
    snprintf(port.path, sizeof port.path, "%s", path);
}

static void set_initial_line_settings(int slave) {
    struct termios settings;
    tcgetattr(slave, &settings);
    cfmakeraw(&settings);
    cfsetspeed(&settings, B9600); /* what Linux gives a serial device nobody has set up */
    settings.c_cflag |= HUPCL;
    tcsetattr(slave, TCSANOW, &settings);
}

static void open_modem_socket(void) {
    struct sockaddr_un address;
    socklen_t length = modem_address(&address, port.pty_name);
    port.modem_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (port.modem_socket < 0 || bind(port.modem_socket, (struct sockaddr *)&address, length) != 0)
        fail("socket for modem lines");
}

void host_port_appear(void) {
    int slave;
    if (port.master >= 0)
        return;
    if (openpty(&port.master, &slave, port.pty_name, NULL, NULL) != 0)
        fail("openpty");
    set_initial_line_settings(slave);
    close(slave); /* so that the master reports POLLHUP until a host opens the port */
    fcntl(port.master, F_SETFL, O_NONBLOCK);
    fcntl(port.master, F_SETFD, FD_CLOEXEC);
    port.drops_dtr_on_close = true;
    unlink(port.path);
    if (symlink(port.pty_name, port.path) != 0)
        fail(port.path);
    open_modem_socket();
    emit_event_with("port", "\"path\":\"%s\",\"pty\":\"%s\"", port.path, port.pty_name);
}

void host_port_vanish(void) {
    if (port.master < 0)
        return;
    unlink(port.path);
    close(port.master);
    close(port.modem_socket);
    port.master = -1;
    port.modem_socket = -1;
    port.is_open = false;
    port.dtr = false;
    host_port_drop_bytes();
    emit_event("port_gone");
}

/* Reads the host's settings from the master side. TCGETS2 gives any rate as a number, where termios only knows its
 * constants; it is spelled out because <asm/termbits.h> and <termios.h> cannot be included together. */
static uint32_t read_line_settings(void) {
    struct {
        unsigned input, output, control, local;
        unsigned char line, characters[19];
        unsigned input_speed, output_speed;
    } settings;
    if (ioctl(port.master, _IOC(_IOC_READ, 'T', 0x2A, sizeof settings), &settings) != 0)
        return 0;
    port.drops_dtr_on_close = (settings.control & HUPCL) != 0;
    return settings.output_speed;
}

void host_port_set_dtr(bool asserted, const char *reason) {
    bool changed = asserted != port.dtr;
    port.dtr = asserted;
    if (changed)
        port.listener.dtr_changed(asserted, reason);
}

static void on_opened(void) {
    port.is_open = true;
    port.baud = read_line_settings();
    emit_event_with("open", "\"baud\":%u", port.baud);
    port.listener.baud_changed(port.baud);
    host_port_set_dtr(true, "dtr-open"); /* no edge, so no reset, when the last close left DTR asserted */
}

/* A serial device forgets what was not read when it is closed; a pseudo-terminal keeps it for the next to open it, and
 * does not let its master side throw it away. */
static void forget_unread_bytes(void) {
    int slave = open(port.pty_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return;
    tcflush(slave, TCIFLUSH);
    close(slave);
}

static void on_closed(void) {
    uint32_t last_baud = read_line_settings();
    port.is_open = false;
    forget_unread_bytes();
    if (port.drops_dtr_on_close)
        host_port_set_dtr(false, "close");
    emit_event_with("close", "\"baud\":%u,\"hupcl\":%s", last_baud, port.drops_dtr_on_close ? "true" : "false");
}

static void notice_baud(void) {
    uint32_t baud = read_line_settings();
    if (baud == port.baud)
        return;
    port.baud = baud;
    emit_event_with("baud", "\"baud\":%u", baud);
    port.listener.baud_changed(baud);
}

static void take_in(void) {
    memmove(port.received, port.received + port.received_taken, port.received_count - port.received_taken);
    port.received_count -= port.received_taken;
    port.received_taken = 0;
    size_t room = sizeof port.received - port.received_count;
    if (room < READ_CHUNK_BYTES)
        return;
    ssize_t count = read(port.master, port.received + port.received_count, room);
    if (count > 0)
        port.received_count += (size_t)count;
}

void host_port_poll(void) {
    if (port.master < 0)
        return;
    struct pollfd state = {.fd = port.master, .events = POLLIN};
    poll(&state, 1, 0);
    bool host_has_it = (state.revents & POLLHUP) == 0;
    bool bytes_waiting = (state.revents & POLLIN) != 0;
    if (host_has_it && !port.is_open)
        on_opened();
    else if (host_has_it)
        notice_baud();
    if (bytes_waiting)
        take_in();
    if (!host_has_it && port.is_open && !bytes_waiting) /* what was written before closing still arrives */
        on_closed();
}

bool host_port_is_open(void) {
    return port.is_open;
}

uint32_t host_port_baud(void) {
    return port.baud;
}

bool host_port_has_byte(void) {
    return port.received_taken < port.received_count;
}

uint8_t host_port_take_byte(void) {
    return port.received[port.received_taken++];
}

void host_port_drop_bytes(void) {
    port.received_count = 0;
    port.received_taken = 0;
}

void host_port_write(const uint8_t *bytes, size_t count) {
    ssize_t written = port.is_open ? write(port.master, bytes, count) : 0;
    if (written < 0)
        written = 0;
    port.lost_bytes += count - (size_t)written;
}

uint64_t host_port_lost_bytes(void) {
    return port.lost_bytes;
}

int host_port_modem_socket(void) {
    return port.modem_socket;
}
