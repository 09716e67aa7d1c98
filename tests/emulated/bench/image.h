/* Firmware into flash, and the memories' contents between runs. */
#pragma once

#include <simavr/sim_avr.h>

#include "options.h"

/* Fills flash and EEPROM and sets where the board starts. Exits with 1, naming the file, when one cannot be used. */
void images_load(avr_t *avr, const struct options *options);

/* Writes flash and EEPROM to the image files that were asked for. */
void images_save(avr_t *avr, const struct options *options);
