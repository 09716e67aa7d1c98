// What the bench's own tests talk to: one small request for each part of the chip that the bench emulates.
//
// Frame, both ways: A5 LENGTH PAYLOAD... SUM, the sum of the payload's bytes modulo 256. The payload's first byte is the
// request; the reply repeats it.

#include <avr/eeprom.h>
#include <avr/wdt.h>

static const uint8_t FRAME_START = 0xA5;
static const uint32_t MARKER = 0xC0FFEE42UL;

// Not cleared at start-up: shows which resets leave SRAM as it was.
static uint32_t survivingMarker __attribute__((section(".noinit")));
static uint32_t survivedResets __attribute__((section(".noinit")));
static uint8_t resetFlags __attribute__((section(".noinit")));

// Runs before main(): after a watchdog reset the watchdog is still on and would reset again within 15 ms.
void readResetFlags(void) __attribute__((naked, used, section(".init3")));
void readResetFlags(void) {
  resetFlags = MCUSR;
  MCUSR = 0;
  wdt_disable();
}

static uint8_t payload[128];  // so large that .noinit, behind it, lies where no bootloader reaches (0x20C)
static uint8_t length;

static void reply(const uint8_t *bytes, uint8_t count) {
  uint8_t sum = 0;
  Serial.write(FRAME_START);
  Serial.write(count);
  for (uint8_t i = 0; i < count; i++) {
    Serial.write(bytes[i]);
    sum += bytes[i];
  }
  Serial.write(sum);
}

static void replyWord(uint8_t request, uint16_t value) {
  const uint8_t bytes[3] = {request, (uint8_t)(value >> 8), (uint8_t)value};
  reply(bytes, sizeof bytes);
}

static void resetByWatchdog() {
  Serial.flush();
  wdt_enable(WDTO_15MS);
  for (;;) {
  }
}

static uint8_t *cell(uint16_t address) {
  return (uint8_t *)address;
}

// How long the wire takes for so many bytes, at most 60: they are sent, too.
static uint16_t timeBytes(uint8_t count) {
  Serial.flush();
  const uint32_t start = micros();
  for (uint8_t i = 0; i < count; i++) Serial.write('U');
  Serial.flush();
  return micros() - start;
}

// Long enough for a burst to overrun the receiver.
static void ignoreInput() {
  noInterrupts();
  delayMicroseconds(10000);
  interrupts();
}

static void handle() {
  switch (payload[0]) {
    case 'E': reply(payload, length); break;                                             // echo
    case 'A': replyWord('A', analogRead(A0 + payload[1])); break;                        // analogue channel
    case 'M': pinMode(payload[1], payload[2]); reply(payload, 3); break;                 // pin mode
    case 'W': digitalWrite(payload[1], payload[2]); reply(payload, 3); break;            // write a pin
    case 'R': replyWord('R', digitalRead(payload[1])); break;                            // read a pin
    case 'P': analogWrite(payload[1], payload[2]); reply(payload, 3); break;             // PWM
    case 'S': eeprom_update_byte(cell(payload[1]), payload[2]); reply(payload, 3); break; // store
    case 'L': replyWord('L', eeprom_read_byte(cell(payload[1]))); break;                 // load
    case 'N': replyWord('N', survivedResets); break;                                     // resets survived by SRAM
    case 'F': replyWord('F', resetFlags); break;                                         // cause of the last reset
    case 'D': resetByWatchdog(); break;                                                  // watchdog
    case 'T': replyWord('T', timeBytes(payload[1])); break;                              // microseconds for bytes
    case 'I': ignoreInput(); reply(payload, 1); break;                                   // deaf for 10 ms
    default: replyWord('?', payload[0]);
  }
}

static void receive(uint8_t byte) {
  static enum { START, LENGTH, PAYLOAD, SUM } expected = START;
  static uint8_t position, sum;
  switch (expected) {
    case START:
      if (byte == FRAME_START) expected = LENGTH;
      break;
    case LENGTH:
      length = byte;
      position = sum = 0;
      expected = (length > 0 && length <= sizeof payload) ? PAYLOAD : START;
      break;
    case PAYLOAD:
      payload[position++] = byte;
      sum += byte;
      if (position == length) expected = SUM;
      break;
    case SUM:
      expected = START;
      if (byte == sum) handle();
      break;
  }
}

void setup() {
  survivedResets = survivingMarker == MARKER ? survivedResets + 1 : 0;
  survivingMarker = MARKER;
  Serial.begin(115200);
  Serial.println(F("READY"));
}

void loop() {
  while (Serial.available()) receive(Serial.read());
}
