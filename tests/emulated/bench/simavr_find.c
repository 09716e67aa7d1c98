#include "simavr_find.h"

#include <string.h>

avr_io_t *find_peripheral(avr_t *avr, const char *kind, avr_io_t *after) {
    for (avr_io_t *io = after != NULL ? after->next : avr->io_port; io != NULL; io = io->next)
        if (io->kind != NULL && strcmp(io->kind, kind) == 0)
            return io;
    return NULL;
}
