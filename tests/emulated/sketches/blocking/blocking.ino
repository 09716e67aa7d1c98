// A sketch that spends its life in delay(): in its loop, and in an action. The link must not notice the first, and the
// second is a command that a test can interrupt.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

uint32_t turns;

uint32_t countTurns() { return turns; }
void work(uint16_t ms) {
  digitalWrite(LED_BUILTIN, HIGH);
  delay(ms);
  digitalWrite(LED_BUILTIN, LOW);
}

BRIDGE_SKETCH("blocking", "1.0.0");
BRIDGE_CHANNELS(READING("turns", "", countTurns));
BRIDGE_ACTIONS(ACTION("work", "Light the LED for so long", work, ARG("ms", 1, 60000, "ms")));

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  bridge.begin(250000);
}

void loop() {
  bridge.poll();
  turns++;
  delay(3000);
}
