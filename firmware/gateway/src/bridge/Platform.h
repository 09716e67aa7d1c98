// What differs from board to board; everything else in this library is portable C++11 on Arduino's Stream.
#pragma once
#include <Arduino.h>

// Memory that a reset leaves alone. Where a core has none, the record is lost with every reset: the board then tells
// the gateway that it cannot know what it did before, and still does nothing twice.
#ifdef __AVR__
#define BRIDGE_NOINIT __attribute__((section(".noinit")))
#else
#define BRIDGE_NOINIT
#endif

// The board's name in GET /boards. Define it before including Bridge.h to use another one (at most 20 bytes).
#if defined(BRIDGE_BOARD)
#elif defined(ARDUINO_AVR_UNO)
#define BRIDGE_BOARD "Arduino Uno"
#elif defined(ARDUINO_AVR_NANO)
#define BRIDGE_BOARD "Arduino Nano"
#elif defined(ARDUINO_AVR_MEGA2560) || defined(ARDUINO_AVR_MEGA)
#define BRIDGE_BOARD "Arduino Mega"
#elif defined(ARDUINO_AVR_LEONARDO)
#define BRIDGE_BOARD "Arduino Leonardo"
#elif defined(ARDUINO_AVR_MICRO)
#define BRIDGE_BOARD "Arduino Micro"
#else
#define BRIDGE_BOARD "Arduino"
#endif

namespace bridging {

// Bytes between the heap and the stack; 0 where nobody can tell.
uint16_t freeRam();

// Is this port the board's own USB, whose other end is a computer and not a UART? (HELLO flag 8)
template <class Port> struct IsNativeUsb { static constexpr bool value = false; };
#ifdef USBCON
template <> struct IsNativeUsb<Serial_> { static constexpr bool value = true; };
#endif

}  // namespace bridging
