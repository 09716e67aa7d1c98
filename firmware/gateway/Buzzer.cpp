#include "Buzzer.h"

#include <Arduino.h>

#ifdef TIMER2_COMPA_vect

namespace {

const uint8_t kPrescalerBits[] PROGMEM = {0, 3, 5, 6, 7, 8, 10};  // of timer 2, for the clock selections 1 to 7

volatile uint8_t *toggleRegister;  // a port's PIN register: a bit written there turns the pin over
uint8_t pinMask;
volatile uint32_t togglesLeft;

// As the core's init() leaves timer 2, for PWM.
void releaseTimer() {
  TIMSK2 = 0;
  TCCR2A = _BV(WGM20);
  TCCR2B = _BV(CS22);
}

}  // namespace

ISR(TIMER2_COMPA_vect) {
  *toggleRegister = pinMask;
  if (--togglesLeft == 0) releaseTimer();
}

void stopBuzzer() {
  if (!TIMSK2) return;
  releaseTimer();
  toggleRegister[2] &= ~pinMask;  // PIN, DDR, PORT lie in this order
}

void startBuzzer(uint8_t pin, uint16_t hz, uint16_t ms) {
  stopBuzzer();
  toggleRegister = portInputRegister(digitalPinToPort(pin));
  pinMask = digitalPinToBitMask(pin);
  digitalWrite(pin, LOW);
  pinMode(pin, OUTPUT);
  togglesLeft = uint32_t(hz) * ms / 500 & ~1UL;  // an even number ends low
  if (!togglesLeft) return;

  const uint32_t halfPeriod = uint32_t(F_CPU / 2) / hz;
  uint8_t clock = 0;
  while (halfPeriod >> pgm_read_byte(kPrescalerBits + clock) > 256) clock++;
  TCNT2 = 0;
  OCR2A = (halfPeriod >> pgm_read_byte(kPrescalerBits + clock)) - 1;
  TCCR2A = _BV(WGM21);
  TCCR2B = clock + 1;
  TIMSK2 = _BV(OCIE2A);
}

#else

namespace {
uint8_t buzzerPin;  // 0: none yet
}

void stopBuzzer() {
  if (buzzerPin) noTone(buzzerPin);
}

// The core has one timer for this, and drops a tone for another pin while it is taken.
void startBuzzer(uint8_t pin, uint16_t hz, uint16_t ms) {
  stopBuzzer();
  buzzerPin = pin;
  tone(pin, hz, ms);
}

#endif
