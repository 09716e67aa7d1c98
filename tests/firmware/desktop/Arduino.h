// The part of Arduino that the library uses, on the desktop. The clock is the test's: see board.cpp.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PROGMEM
#define memcpy_P memcpy
#define strlen_P strlen
#define pgm_read_byte(address) (*reinterpret_cast<const uint8_t *>(address))
#define pgm_read_ptr(address) (*(address))
class __FlashStringHelper;
#define F(text) (reinterpret_cast<const __FlashStringHelper *>(text))

inline uint32_t pgm_read_dword(const uint8_t *address) {
  uint32_t value;
  memcpy(&value, address, sizeof value);
  return value;
}

uint32_t millis();
uint32_t micros();
void yield();

class Print {
 public:
  virtual ~Print() {}
  virtual size_t write(uint8_t byte) = 0;
  size_t write(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) write(bytes[i]);
    return count;
  }
  virtual int availableForWrite() { return 0; }
};

class Stream : public Print {
 public:
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int peek() = 0;
};
