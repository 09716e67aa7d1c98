#include "boards.h"

#include <stddef.h>
#include <string.h>

static const struct board_model models[] = {
    {.name = "uno", .mcu = "atmega328p", .uart = '0'},
    {.name = "nano", .mcu = "atmega328p", .uart = '0'},
    {.name = "mega", .mcu = "atmega2560", .uart = '0'},
    {.name = "leonardo", .mcu = "atmega32u4", .native_usb = true},
};

const struct board_model *board_model_by_name(const char *name) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    return NULL;
}

const char *board_model_names(void) {
    return "uno, nano, mega, leonardo";
}
