// The board that the gateway knows out of the box: its inputs, two PWM pins and the LED, and actions on single pins.
// Nothing needs to be wired. Copy this folder to start a sketch of your own: the tables are all there is to change.
#include "Buzzer.h"
#include "src/bridge/Bridge.h"

Bridge bridge(Serial);

// Code that many readings share: copied into each of them it would make the sketch 0.4 KB larger.
#define ONCE __attribute__((noinline))

// ---- outputs -----------------------------------------------------------------------------------------------------

#if defined(__AVR_ATmega2560__) || defined(__AVR_ATmega1280__)
constexpr uint8_t kPwmPins[] = {11, 12};  // the buzzer takes the timer of 9 and 10
#define PWM_OUTPUTS PWM("pwm11", 0), PWM("pwm12", 1)
#else
constexpr uint8_t kPwmPins[] = {9, 10};
#define PWM_OUTPUTS PWM("pwm9", 0), PWM("pwm10", 1)
#endif

void setLed(bool on) { digitalWrite(LED_BUILTIN, on); }
template <uint8_t i> void setPwm(uint8_t duty) { analogWrite(kPwmPins[i], duty); }

// ---- readings ----------------------------------------------------------------------------------------------------

constexpr uint16_t kSupplyPeriodMs = 1000;
constexpr uint32_t kBandgapMv = 1100;       // +-10 % from chip to chip
constexpr uint16_t kFullScale = 1023;
constexpr uint8_t kSettlingConversions = 8;  // the bandgap is a weak source: discard what it needs to settle

uint16_t supplyMv;
uint16_t supplyMeasuredAt;  // ms, its low half

uint16_t convert() {
  ADCSRA |= _BV(ADSC);
  while (ADCSRA & _BV(ADSC)) {
  }
  return ADC;
}

// The chip cannot measure its own supply, but it can measure its bandgap in parts of the supply.
void measureSupply() {
#if defined(MUX5)
  ADCSRB &= ~_BV(MUX5);
#endif
#if defined(MUX4)
  ADMUX = _BV(REFS0) | _BV(MUX4) | _BV(MUX3) | _BV(MUX2) | _BV(MUX1);
#else
  ADMUX = _BV(REFS0) | _BV(MUX3) | _BV(MUX2) | _BV(MUX1);
#endif
  for (uint8_t i = 0; i < kSettlingConversions; i++) convert();
  const uint16_t bandgap = convert();
  if (bandgap) supplyMv = kBandgapMv * kFullScale / bandgap;
  supplyMeasuredAt = millis();
}

ONCE uint16_t measureMv(uint8_t channel) { return uint32_t(analogRead(channel)) * supplyMv / kFullScale; }
// Not by digitalRead(): that one ends the PWM of the pin it looks at.
ONCE bool readDigital(uint8_t pin) { return *portInputRegister(digitalPinToPort(pin)) & digitalPinToBitMask(pin); }
template <uint8_t channel> uint16_t analogMv() { return measureMv(channel); }
template <uint8_t pin> bool digital() { return readDigital(pin); }
uint16_t supply() { return supplyMv; }
uint32_t loopMaxUs() { return bridge.loopMaxUs(); }

// ---- actions on single pins --------------------------------------------------------------------------------------

constexpr uint8_t kFirstPin = 2;  // 0 and 1 are the serial port
#ifdef __AVR_ATmega32U4__
constexpr uint8_t kLastPin = PIN_A5;  // what follows are second names of 4 to 12: an output's pin could be driven by one
#else
constexpr uint8_t kLastPin = NUM_DIGITAL_PINS - 1;
#endif
constexpr uint8_t kBelongsToAnOutput = 64;  // refusal: write that channel instead

uint8_t drivenPins[kLastPin / 8 + 1];  // a bit each

// True if an action may drive this pin, which it then does until the failsafe.
bool take(uint8_t pin) {
  if (pin == LED_BUILTIN || pin == kPwmPins[0] || pin == kPwmPins[1]) {
    bridge.refuse(kBelongsToAnOutput);
    return false;
  }
  drivenPins[pin / 8] |= 1 << pin % 8;
  return true;
}

void releasePins() {
  stopBuzzer();
  for (uint8_t pin = kFirstPin; pin <= kLastPin; pin++) {
    if (!(drivenPins[pin / 8] & 1 << pin % 8)) continue;
    digitalWrite(pin, LOW);  // ends PWM too
    pinMode(pin, INPUT);
  }
  memset(drivenPins, 0, sizeof drivenPins);
}

void setPinMode(uint8_t pin, uint8_t mode) {
  if (take(pin)) pinMode(pin, mode);
}
void writeDigital(uint8_t pin, bool value) {
  if (!take(pin)) return;
  digitalWrite(pin, value);
  pinMode(pin, OUTPUT);
}
void writeAnalog(uint8_t pin, uint8_t duty) {
  if (take(pin)) analogWrite(pin, duty);
}
void beep(uint8_t pin, uint16_t hz, uint16_t ms) {
  if (take(pin)) startBuzzer(pin, hz, ms);
}
uint16_t readAnalog(uint8_t channel) { return analogRead(channel); }

// ---- what the gateway sees ---------------------------------------------------------------------------------------

#define ANALOG(name, channel) READING(name, "V", analogMv<channel>, SCALE(-3))
#define DIGITAL(name, pin) READING(name, "", digital<pin>)
#define PWM(name, i) OUTPUT_(name, "", setPwm<i>, SAFE(0))
#define PIN ARG("pin", kFirstPin, kLastPin)

BRIDGE_SKETCH("gateway", "1.0.0");

BRIDGE_CHANNELS(
  ANALOG("a0", 0), ANALOG("a1", 1), ANALOG("a2", 2), ANALOG("a3", 3), ANALOG("a4", 4), ANALOG("a5", 5),
  DIGITAL("d2", 2), DIGITAL("d3", 3), DIGITAL("d4", 4), DIGITAL("d5", 5), DIGITAL("d6", 6), DIGITAL("d7", 7),
  DIGITAL("d8", 8), DIGITAL("d9", 9), DIGITAL("d10", 10), DIGITAL("d11", 11), DIGITAL("d12", 12),
  READING("supply_mv", "mV", supply),
  READING("uptime_ms", "ms", millis),
  READING("free_ram", "B", bridging::freeRam),
  READING("loop_max_us", "us", loopMaxUs),
  OUTPUT_("led", "", setLed, SAFE(false)),
  PWM_OUTPUTS,
);

BRIDGE_ACTIONS(
  ACTION("pin_mode", "0 input, 1 output, 2 pull-up", setPinMode, PIN, ARG("mode", 0, 2)),
  ACTION("digital_write", "Drive a pin", writeDigital, PIN, ARG("value", 0, 1)),
  ACTION("analog_write", "Drive a pin with PWM", writeAnalog, PIN, ARG("value", 0, 255)),
  ACTION("digital_read", "Read any pin", readDigital, PIN),
  ACTION("analog_read", "0 to 1023", readAnalog, ARG("pin", 0, NUM_ANALOG_INPUTS - 1)),
  ACTION("tone", "Sound a buzzer", beep, PIN, ARG("hz", 31, 20000, "Hz"), ARG("ms", 1, 60000, "ms")),
);

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  pinMode(kPwmPins[0], OUTPUT);
  pinMode(kPwmPins[1], OUTPUT);
  measureSupply();
  bridge.onSafe(releasePins);
  bridge.begin(250000);
}

void loop() {
  bridge.poll();
  if (uint16_t(millis()) - supplyMeasuredAt >= kSupplyPeriodMs) measureSupply();
}
