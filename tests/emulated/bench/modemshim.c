/*
 * modemshim.so, for LD_PRELOAD: gives the bench's pseudo-terminals the modem lines they lack.
 *
 * TIOCMGET, TIOCMSET, TIOCMBIS and TIOCMBIC work on /dev/pts/N, and a change of DTR is sent to the bench as a datagram
 * "0" or "1". So pyserial's `port.dtr = ...` and avrdude's auto-reset really reset the emulated board. All
 * other descriptors and requests go to the C library untouched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "modem_address.h"

enum {
    PTS_MAJOR_FIRST = 136, /* Linux's numbers for /dev/pts, 256 to a major; the first major is plenty here */
    MAX_PTS = 256,
    HOST_LINES = TIOCM_DTR | TIOCM_RTS,
    BOARD_LINES = TIOCM_CTS | TIOCM_DSR | TIOCM_CD,
};

/* What was last set; before that, what the kernel sets at open. */
static struct {
    bool is_set;
    int lines;
} modem[MAX_PTS];

/* Returns N for /dev/pts/N, -1 for anything else. */
static int pts_number(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISCHR(status.st_mode))
        return -1;
    if (major(status.st_rdev) != PTS_MAJOR_FIRST || minor(status.st_rdev) >= MAX_PTS)
        return -1;
    return (int)minor(status.st_rdev);
}

static bool tell_bench(int pts, bool dtr) {
    char pty_name[32];
    struct sockaddr_un address;
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return false;
    snprintf(pty_name, sizeof pty_name, "/dev/pts/%d", pts);
    socklen_t length = modem_address(&address, pty_name);
    ssize_t sent = sendto(descriptor, dtr ? "1" : "0", 1, 0, (struct sockaddr *)&address, length);
    close(descriptor);
    return sent >= 0;
}

static int lines_after(unsigned long request, int lines, int argument) {
    switch (request) {
    case TIOCMBIS: return lines | (argument & HOST_LINES);
    case TIOCMBIC: return lines & ~(argument & HOST_LINES);
    default: return argument & HOST_LINES;
    }
}

static int modem_request(int pts, unsigned long request, int *argument) {
    int lines = modem[pts].is_set ? modem[pts].lines : HOST_LINES;
    if (request == TIOCMGET) {
        *argument = lines | BOARD_LINES;
        return 0;
    }
    int after = lines_after(request, lines, *argument);
    bool dtr_changed = ((lines ^ after) & TIOCM_DTR) != 0;
    if (dtr_changed && !tell_bench(pts, (after & TIOCM_DTR) != 0)) {
        errno = ENOTTY; /* a pseudo-terminal that is not the bench's */
        return -1;
    }
    modem[pts].is_set = true;
    modem[pts].lines = after;
    return 0;
}

static bool is_modem_request(unsigned long request) {
    return request == TIOCMGET || request == TIOCMSET || request == TIOCMBIS || request == TIOCMBIC;
}

int ioctl(int descriptor, unsigned long request, ...) {
    static int (*real_ioctl)(int, unsigned long, ...);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (real_ioctl == NULL)
        real_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    int pts = is_modem_request(request) ? pts_number(descriptor) : -1;
    return pts >= 0 ? modem_request(pts, request, argument) : real_ioctl(descriptor, request, argument);
}
