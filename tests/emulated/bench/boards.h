/* The boards the bench can be. */
#pragma once

#include <stdbool.h>

struct board_model {
    const char *name;
    const char *mcu;  /* simavr's name */
    bool native_usb;  /* the sketch's Serial is the chip's own USB device, not a UART */
    char uart;        /* else: the UART joined to the port */
};

/* NULL for an unknown name. */
const struct board_model *board_model_by_name(const char *name);

/* "uno, nano, ..." for messages and the usage text. */
const char *board_model_names(void);
