// avr-libc's EEPROM, in an array that board.cpp owns.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define E2END 1023
extern uint8_t eepromBytes[E2END + 1];

inline void eeprom_read_block(void *to, const void *from, size_t size) {
  memcpy(to, eepromBytes + reinterpret_cast<uintptr_t>(from), size);
}
inline void eeprom_update_block(const void *from, void *to, size_t size) {
  memcpy(eepromBytes + reinterpret_cast<uintptr_t>(to), from, size);
}
