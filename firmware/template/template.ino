// The two tables below are what the gateway sees of this board: each line is a resource. They run as they are, with
// nothing wired. Change them line by line; a wrong line does not compile, and the message says why.
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

// A reading: a function that returns its value. The type tells the gateway what it is.
float temperature() { return analogRead(A0) * 0.48828125f - 50.0f; }  // a TMP36 at 5 V
bool door() { return digitalRead(2); }  // true while a switch from pin 2 to ground is open

// An output: a function that takes its value.
void setLed(bool on) { digitalWrite(LED_BUILTIN, on); }
void setFan(uint8_t duty) { analogWrite(9, duty); }

// An action: a function of at most 4 parameters, which may return a value.
void beep(uint16_t hz, uint16_t ms) { tone(8, hz, ms); }

BRIDGE_SKETCH("template", "1.0.0");  // what the gateway calls this sketch

BRIDGE_CHANNELS(
  READING("temperature", "degC", temperature, RANGE(-50, 450)),  // name, unit, function; out of range reads as bad
  READING("door", "", door),
  OUTPUT_("led", "", setLed, SAFE(false)),  // SAFE: its value at power-on, and when the host falls silent
  OUTPUT_("fan", "", setFan, RANGE(0, 200), SAFE(0), HOLD_REQUIRED),  // HOLD_REQUIRED: only for as long as a write says
);

BRIDGE_ACTIONS(
  ACTION("beep", "Sound the buzzer", beep, ARG("hz", 31, 5000, "Hz"), ARG("ms", 1, 2000, "ms")),
);

void setup() {
  pinMode(2, INPUT_PULLUP);
  pinMode(LED_BUILTIN, OUTPUT);
  bridge.begin(250000);  // the gateway's own rate; another one is `baud` in its configuration
}

void loop() {
  bridge.poll();  // delay() is fine elsewhere: the bridge answers meanwhile
}
