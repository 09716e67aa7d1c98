// A sketch with the ailments that makers' sketches have, each brought on by an action.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

constexpr uint16_t kHearingUs = 2000;  // between two times of deafness
constexpr uint8_t kMallocBytes = 20;   // its own stack, and what it keeps before each block

extern char __heap_start;
extern char *__brkval;

uint16_t deafUs;
void *hoarded;

void setLed(bool on) { digitalWrite(LED_BUILTIN, on); }

bool hoards() { return hoarded; }

// Waits as sketches do that know nothing of delay(): nobody looks at the line meanwhile.
void block(uint16_t ms) {
  const uint32_t beganMs = millis();
  while (millis() - beganMs < ms) {
  }
}

// Has interrupts off again and again, as LED strips do: bytes that come meanwhile are lost.
void goDeaf(uint16_t us) { deafUs = us; }

// Takes all memory but so many bytes, counted from here.
void hoard(uint16_t leave) {
  const char top = 0;
  const char *const heapEnd = __brkval ? __brkval : &__heap_start;
  __malloc_margin = leave;
  hoarded = malloc(uint16_t(&top - heapEnd) - leave - kMallocBytes);
}

BRIDGE_SKETCH("ailing", "1.0.0");
BRIDGE_CHANNELS(
  OUTPUT_("led", "", setLed, SAFE(false)),
  READING("hoards", "", hoards),
);
BRIDGE_ACTIONS(
  ACTION("block", "Wait, deaf and dumb", block, ARG("ms", 1, 1000, "ms")),
  ACTION("deaf", "Have interrupts off so long", goDeaf, ARG("us", 0, 2000, "us")),
  ACTION("hoard", "Take all memory but so much", hoard, ARG("leave", 60, 1000, "B")),
);

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  bridge.begin(250000);
}

void loop() {
  bridge.poll();
  if (!deafUs) return;
  delayMicroseconds(kHearingUs);
  noInterrupts();
  delayMicroseconds(deafUs);
  interrupts();
}
