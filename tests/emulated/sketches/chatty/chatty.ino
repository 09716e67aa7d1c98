// A sketch that prints on the port it shares with the link.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

uint32_t lines;

uint32_t countLines() { return lines; }

BRIDGE_SKETCH("chatty", "1.0.0");
BRIDGE_CHANNELS(READING("lines", "", countLines));

void setup() { bridge.begin(250000); }

void loop() {
  bridge.poll();
  Serial.print(F("line "));
  Serial.println(++lines);
  delay(5);
}
