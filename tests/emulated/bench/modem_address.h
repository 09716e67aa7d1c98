/* Where modemshim.so and the bench meet: an abstract Unix datagram address made from the pseudo-terminal's name. */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Fills in the address and returns its length. Abstract, so nothing is left behind in the file system. */
static inline socklen_t modem_address(struct sockaddr_un *address, const char *pty_name) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "emulated-board%s", pty_name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}
