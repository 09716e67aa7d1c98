// A sketch whose every execution shows as one pulse of pin 4, so that a test counts what really ran, and which can be
// stopped before and behind that pulse. Pin 7 is high while the action runs.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

static const uint8_t PULSE_PIN = 4, BUSY_PIN = 7, LAMP_PIN = 12;
static const uint16_t LONGEST_SILENCE_MS = 20000;  // the host may ask for less

uint16_t pulses;

uint16_t countPulses() { return pulses; }

void setLamp(bool on) { digitalWrite(LAMP_PIN, on); }

uint16_t pulse(uint16_t beforeMs, uint16_t afterMs) {
  digitalWrite(BUSY_PIN, HIGH);
  delay(beforeMs);
  digitalWrite(PULSE_PIN, HIGH);
  digitalWrite(PULSE_PIN, LOW);
  pulses++;
  delay(afterMs);
  digitalWrite(BUSY_PIN, LOW);
  return pulses;
}

// Alive, and deaf: neither returns nor delays.
void compute(uint16_t ms) {
  for (const uint32_t start = millis(); millis() - start < ms;) {
  }
}

BRIDGE_SKETCH("pulses", "1.0.0");
BRIDGE_CHANNELS(
  READING("pulses", "", countPulses),
  OUTPUT_("lamp", "", setLamp, SAFE(false)),
);
BRIDGE_ACTIONS(
  ACTION("pulse", "One pulse of pin 4", pulse, ARG("before_ms", 0, 60000, "ms"), ARG("after_ms", 0, 60000, "ms")),
  ACTION("compute", "Neither return nor delay", compute, ARG("ms", 1, 60000, "ms")),
);

void setup() {
  pinMode(PULSE_PIN, OUTPUT);
  pinMode(LAMP_PIN, OUTPUT);
  pinMode(BUSY_PIN, OUTPUT);
  bridge.failsafeAfter(LONGEST_SILENCE_MS);
  bridge.begin(250000);
}

void loop() { bridge.poll(); }
