/* The command line. */
#pragma once

#include <stdint.h>

#include "boards.h"

enum { MAX_FLASH_FILES = 4 };

struct options {
    const struct board_model *model;
    const char *flash_files[MAX_FLASH_FILES];
    int flash_file_count;
    const char *bootloader;   /* NULL: the sketch starts at address 0 */
    const char *flash_image;  /* kept between runs, NULL: not */
    const char *eeprom_image; /* kept between runs, NULL: not */
    const char *port_path;
    double speed;      /* 1: real time; 0: as fast as it goes */
    uint32_t slice_us; /* board time between two looks at the port and the commands */
    uint64_t seed;
    bool auto_reset;
    bool check_baud;
};

/* Exits with 0 after --help and with 2, naming the mistake, on wrong usage. */
struct options options_parse(int argc, char **argv);
