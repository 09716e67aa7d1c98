#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

enum option_code {
    OPTION_BOARD = 1,
    OPTION_FLASH,
    OPTION_BOOT,
    OPTION_FLASH_IMAGE,
    OPTION_EEPROM_IMAGE,
    OPTION_PORT,
    OPTION_SPEED,
    OPTION_SLICE_US,
    OPTION_SEED,
    OPTION_NO_AUTO_RESET,
    OPTION_NO_BAUD_CHECK,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"board", required_argument, NULL, OPTION_BOARD},
    {"flash", required_argument, NULL, OPTION_FLASH},
    {"boot", required_argument, NULL, OPTION_BOOT},
    {"flash-image", required_argument, NULL, OPTION_FLASH_IMAGE},
    {"eeprom-image", required_argument, NULL, OPTION_EEPROM_IMAGE},
    {"port", required_argument, NULL, OPTION_PORT},
    {"speed", required_argument, NULL, OPTION_SPEED},
    {"slice-us", required_argument, NULL, OPTION_SLICE_US},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"no-auto-reset", no_argument, NULL, OPTION_NO_AUTO_RESET},
    {"no-baud-check", no_argument, NULL, OPTION_NO_BAUD_CHECK},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "usage: emulated-board --port PATH [options]\n"
    "  --board NAME         %s (default uno)\n"
    "  --flash FILE         a sketch, .hex or .elf; may be repeated\n"
    "  --boot FILE          a bootloader; the board then starts in it, as a real one does\n"
    "  --flash-image FILE   flash memory, read at the start and written at the end\n"
    "  --eeprom-image FILE  the same for the EEPROM\n"
    "  --port PATH          where the serial port appears (a link to a pseudo-terminal)\n"
    "  --speed N            board seconds per second; 0 runs free (default 1)\n"
    "  --slice-us N         board time between two looks at the port (default 1000)\n"
    "  --seed N             of the power-on SRAM and the line noise\n"
    "  --no-auto-reset      opening the port does not reset the board\n"
    "  --no-baud-check      bytes pass even when the two baud rates differ\n"
    "commands are read from standard input, events are written to standard output: see README.md\n";

__attribute__((noreturn)) static void fail_usage(const char *problem, const char *value) {
    fprintf(stderr, "emulated-board: %s %s; --help lists the options\n", problem, value);
    exit(EXIT_USAGE);
}

static double parse_number(const char *text, double smallest) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= smallest))
        fail_usage("not a usable number:", text);
    return value;
}

static const struct board_model *parse_board(const char *name) {
    const struct board_model *model = board_model_by_name(name);
    if (model == NULL) {
        fprintf(stderr, "emulated-board: no board %s; there are %s\n", name, board_model_names());
        exit(EXIT_USAGE);
    }
    return model;
}

static void add_flash_file(struct options *options, const char *path) {
    if (options->flash_file_count == MAX_FLASH_FILES)
        fail_usage("too many --flash files at", path);
    options->flash_files[options->flash_file_count++] = path;
}

static void apply(struct options *options, int code, const char *value) {
    switch (code) {
    case OPTION_BOARD: options->model = parse_board(value); break;
    case OPTION_FLASH: add_flash_file(options, value); break;
    case OPTION_BOOT: options->bootloader = value; break;
    case OPTION_FLASH_IMAGE: options->flash_image = value; break;
    case OPTION_EEPROM_IMAGE: options->eeprom_image = value; break;
    case OPTION_PORT: options->port_path = value; break;
    case OPTION_SPEED: options->speed = parse_number(value, 0); break;
    case OPTION_SLICE_US: options->slice_us = (uint32_t)parse_number(value, 1); break;
    case OPTION_SEED: options->seed = (uint64_t)parse_number(value, 0); break;
    case OPTION_NO_AUTO_RESET: options->auto_reset = false; break;
    case OPTION_NO_BAUD_CHECK: options->check_baud = false; break;
    case OPTION_HELP: printf(usage, board_model_names()); exit(EXIT_SUCCESS);
    default: exit(EXIT_USAGE); /* getopt has named the mistake */
    }
}

struct options options_parse(int argc, char **argv) {
    struct options options = {
        .model = board_model_by_name("uno"),
        .speed = 1,
        .slice_us = 1000,
        .auto_reset = true,
        .check_baud = true,
    };
    int code;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        apply(&options, code, optarg);
    if (optind < argc)
        fail_usage("what is", argv[optind]);
    if (options.port_path == NULL)
        fail_usage("--port PATH", "is missing");
    return options;
}
