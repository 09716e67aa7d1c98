// Somebody else's firmware: which, is wired at D2 and D3 when it starts. Each says what the real one says first, and
// when it is asked for its name; no more.

enum Firmware { SILENCE, FIRMATA, MARLIN, PLAIN_TEXT };

static const uint8_t kFirmataName[] PROGMEM = {
  0xF9, 2, 5, 0xF0, 0x79, 2, 5, 'S', 0, 't', 0, 'a', 0, 'n', 0, 'd', 0, 'a', 0, 'r', 0, 'd', 0, 0xF7,
};
static const uint8_t kReportFirmware[] = {0xF0, 0x79, 0xF7};
static const uint16_t kTextPeriodMs = 200;

static Firmware firmware;

static void sayFirmataName() {
  for (uint8_t i = 0; i < sizeof kFirmataName; i++) Serial.write(pgm_read_byte(kFirmataName + i));
}

static void beFirmata(uint8_t byte) {
  static uint8_t matched;
  matched = byte == kReportFirmware[matched] ? matched + 1 : byte == kReportFirmware[0];
  if (matched < sizeof kReportFirmware) return;
  matched = 0;
  sayFirmataName();
}

static void beMarlin(uint8_t byte) {
  static char line[8];
  static uint8_t length;
  if (byte != '\n') {
    if (length < sizeof line) line[length++] = byte;
    return;
  }
  if (length == 4 && !memcmp(line, "M115", 4))
    Serial.println(F("FIRMWARE_NAME:Marlin 2.1.2 PROTOCOL_VERSION:1.0 MACHINE_TYPE:Ender\nok"));
  length = 0;
}

static void begin() {
  switch (firmware) {
    case FIRMATA:
      Serial.begin(57600);
      sayFirmataName();
      break;
    case MARLIN:
      Serial.begin(115200);
      Serial.println(F("start\necho:Marlin 2.1.2"));
      break;
    case PLAIN_TEXT: Serial.begin(250000); break;
    case SILENCE: break;
  }
}

void setup() {
  firmware = Firmware(digitalRead(2) | digitalRead(3) << 1);
  begin();
}

void loop() {
  static uint16_t saidMs;
  while (Serial.available()) {
    const uint8_t byte = Serial.read();
    if (firmware == FIRMATA) beFirmata(byte);
    if (firmware == MARLIN) beMarlin(byte);
  }
  if (firmware == PLAIN_TEXT && uint16_t(millis() - saidMs) > kTextPeriodMs) {
    saidMs = millis();
    Serial.println(F("Temperature: 21.5 C"));
  }
}
