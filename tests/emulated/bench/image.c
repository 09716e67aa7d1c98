#include "image.h"

#include <simavr/avr_eeprom.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_hex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simavr_find.h"

static const uint32_t NO_ADDRESS = UINT32_MAX;

__attribute__((noreturn)) static void fail(const char *path, const char *problem) {
    fprintf(stderr, "emulated-board: %s: %s\n", path, problem);
    exit(EXIT_FAILURE);
}

static bool has_suffix(const char *text, const char *suffix) {
    size_t length = strlen(text);
    size_t suffix_length = strlen(suffix);
    return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

static void copy_to_flash(avr_t *avr, const char *path, uint32_t address, const uint8_t *bytes, uint32_t size) {
    uint32_t capacity = avr->flashend + 1;
    if (address > capacity || size > capacity - address)
        fail(path, "runs past the end of flash");
    memcpy(avr->flash + address, bytes, size);
}

/* Returns the lowest address. The lowest, not the first or the last: Optiboot's file also holds a two-byte version
 * word at the very top of flash, and the bootloader is entered below it. */
static uint32_t load_hex(avr_t *avr, const char *path) {
    ihex_chunk_p chunks = NULL;
    int count = read_ihex_chunks(path, &chunks);
    uint32_t lowest = NO_ADDRESS;
    if (count <= 0)
        fail(path, "not readable as Intel HEX");
    for (int i = 0; i < count; i++) {
        copy_to_flash(avr, path, chunks[i].baseaddr, chunks[i].data, chunks[i].size);
        if (chunks[i].baseaddr < lowest)
            lowest = chunks[i].baseaddr;
    }
    free_ihex_chunks(chunks);
    return lowest;
}

static uint32_t load_elf(avr_t *avr, const char *path) {
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof firmware);
    if (elf_read_firmware(path, &firmware) != 0)
        fail(path, "not readable as ELF");
    copy_to_flash(avr, path, firmware.flashbase, firmware.flash, firmware.flashsize);
    return firmware.flashbase;
}

static uint32_t load_firmware(avr_t *avr, const char *path) {
    return has_suffix(path, ".hex") ? load_hex(avr, path) : load_elf(avr, path);
}

/* A missing image is a memory not written yet. Returns the bytes read. */
static size_t read_image(const char *path, uint8_t *bytes, size_t capacity) {
    FILE *file = fopen(path, "rb");
    size_t size = 0;
    if (file != NULL) {
        size = fread(bytes, 1, capacity, file);
        fclose(file);
    }
    return size;
}

static void write_image(const char *path, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        perror(path);
}

/* Directly: simavr's request for the contents (AVR_IOCTL_EEPROM_GET) reports failure even when it succeeds. */
static avr_eeprom_t *find_eeprom(avr_t *avr) {
    return (avr_eeprom_t *)find_peripheral(avr, "eeprom", NULL);
}

void images_load(avr_t *avr, const struct options *options) {
    if (options->flash_image != NULL)
        read_image(options->flash_image, avr->flash, avr->flashend + 1);
    if (options->eeprom_image != NULL)
        read_image(options->eeprom_image, find_eeprom(avr)->eeprom, find_eeprom(avr)->size);
    for (int i = 0; i < options->flash_file_count; i++)
        load_firmware(avr, options->flash_files[i]);
    avr->reset_pc = options->bootloader != NULL ? load_firmware(avr, options->bootloader) : 0;
}

void images_save(avr_t *avr, const struct options *options) {
    if (options->flash_image != NULL)
        write_image(options->flash_image, avr->flash, avr->flashend + 1);
    if (options->eeprom_image != NULL)
        write_image(options->eeprom_image, find_eeprom(avr)->eeprom, find_eeprom(avr)->size);
}
