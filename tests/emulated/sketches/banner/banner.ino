// A sketch that prints before it opens the bridge, on the same port, as makers do; and whose output logs what it does.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

void setPump(bool on) {
  digitalWrite(LED_BUILTIN, on);
  bridge.log(F("pump is switched"));
}

BRIDGE_SKETCH("banner", "1.0.0");
BRIDGE_CHANNELS(OUTPUT_("pump", "", setPump, SAFE(false)));

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  Serial.begin(250000);
  Serial.println(F("greenhouse 1.0, ready in a moment"));
  bridge.begin(250000);
}

void loop() { bridge.poll(); }
