// A sketch whose pins tell which commands really ran, so that nobody has to believe the gateway or the library.
//
// RUNNING is high while a command runs. Meanwhile its number is told, the highest of 24 bits first: each bit is one edge
// of the pin ONE or of the pin ZERO. All readings follow from the number that was told last.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

constexpr uint8_t kRunning = 4;
constexpr uint8_t kZero = 5;
constexpr uint8_t kOne = 6;
constexpr uint32_t kLongestNumber = 0xFFFFFF;
constexpr uint32_t kProofFactor = 2654435761;  // Knuth's: spreads a number over 32 bits

uint32_t last;

void toggle(uint8_t pin) { digitalWrite(pin, !digitalRead(pin)); }

uint32_t mark(uint32_t number, uint8_t ms) {
  digitalWrite(kRunning, HIGH);
  for (uint32_t bit = (kLongestNumber >> 1) + 1; bit; bit >>= 1) toggle(number & bit ? kOne : kZero);
  last = number;
  delay(ms);
  digitalWrite(kRunning, LOW);
  return number;
}

uint32_t lastNumber() { return last; }
uint32_t proof() { return last * kProofFactor; }
float half() { return last * 0.5f; }

BRIDGE_SKETCH("ledger", "1.0.0");
BRIDGE_CHANNELS(
  READING("last", "", lastNumber),
  READING("proof", "", proof),
  READING("half", "", half),
);
BRIDGE_ACTIONS(
  ACTION("mark", "Tell this number at the pins", mark, ARG("number", 1, kLongestNumber), ARG("ms", 0, 200, "ms")),
);

void setup() {
  pinMode(kRunning, OUTPUT);
  pinMode(kZero, OUTPUT);
  pinMode(kOne, OUTPUT);
  bridge.begin(250000);
}

void loop() { bridge.poll(); }
