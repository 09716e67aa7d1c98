// The bench board of tests/vectors/README.md, made of the library itself. Reads one stimulus a line and prints what
// follows from it, then a line with a full stop:
//
//   rx HEX           bytes arrive and the board polls             tx HEX          the board sent these bytes
//   pass MS          time passes, polled every millisecond        call NAME ...   a function of the sketch ran
//   block MS         time passes unpolled, then one poll
//   set NAME VALUE   what a reading returns
//   room BYTES       what availableForWrite() says from now on
//   reset, power, blank   as the names say; blank erases the EEPROM and cuts power
//   corrupt          a byte of the record is written over
//   print TEXT, log TEXT  the sketch prints, or logs, within its loop
//   fragile          the board resets when the output "setpoint" is written next
//   stubborn         from now on the output "led" refuses what it is asked for, with code 70
//   chatty           from now on the reading "ticks" logs each time it is sampled
//   delay MS         the sketch sleeps in delay(), which calls yield() every millisecond
#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <new>
#include <sstream>
#include <string>

#include <avr/eeprom.h>

#define BRIDGE_BOARD "Bench"
#include "Bridge.h"
#include "Record.h"

uint8_t eepromBytes[E2END + 1];

namespace {

struct ResetButton {};  // thrown by the action that resets the board before it returns

uint32_t nowMs;
std::string arriving, sent;
int room = 63;
bool isChatty, isFragile, isStubborn;
std::map<std::string, uint32_t> readings;  // their bits

void flushSent() {
  if (sent.empty()) return;
  printf("tx ");
  for (unsigned char byte : sent) printf("%02x", byte);
  printf("\n");
  sent.clear();
}

class Port : public Stream {
 public:
  void begin(uint32_t) {}
  int available() override { return int(arriving.size()); }
  int peek() override { return arriving.empty() ? -1 : uint8_t(arriving[0]); }
  int read() override {
    const int byte = peek();
    if (byte >= 0) arriving.erase(0, 1);
    return byte;
  }
  size_t write(uint8_t byte) override {
    sent += char(byte);
    return 1;
  }
  int availableForWrite() override { return room; }
};

Port port;
alignas(Bridge) unsigned char bridgeMemory[sizeof(Bridge)];
Bridge &bridge() { return *reinterpret_cast<Bridge *>(bridgeMemory); }

template <class... Values> void called(const char *format, Values... values) {
  flushSent();
  printf("call ");
  printf(format, values...);
  printf("\n");
}
uint32_t bitsOf(float value) { return bridging::toBits(value); }
float floatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// ---- the sketch --------------------------------------------------------------------------------------------------

int16_t level() { return int16_t(readings["level"]); }
float temperature() { return floatOf(readings["temperature"]); }
uint32_t ticks() {
  if (isChatty) called("log %d", bridge().log(F("sampled")));
  return readings["ticks"];
}
template <int number> uint32_t counter() { return readings["c" + std::to_string(number)]; }
int8_t tiny() { return int8_t(readings["tiny"]); }
uint16_t last() { return uint16_t(readings["last"]); }

void setLed(bool on) {
  called("led %d", on);
  if (isStubborn) bridge().refuse(70);
}
void setFan(uint8_t speed) { called("fan %d", speed); }
void setPoint(float degrees) {
  called("setpoint %08x", bitsOf(degrees));
  if (isFragile) throw ResetButton();
}
void setTrim(int16_t trim) { called("trim %d", trim); }

void resetCount() { called("reset_count"); }
int16_t add(int16_t a, int16_t b) {
  called("add %d %d", a, b);
  return int16_t(a + b);
}
void refuse(uint8_t code) {
  called("refuse %d", code);
  bridge().refuse(code);
}
float mix(bool flag, int8_t small, uint32_t big, float ratio) {
  called("mix %d %d %u %08x", flag, small, big, bitsOf(ratio));
  return ratio;
}
uint32_t slow(uint16_t ms) {
  called("slow %d", ms);
  while (ms--) {
    nowMs++;
    yield();  // as delay() does; poll() must not be entered again
  }
  return nowMs;
}
void crash() {
  called("crash");
  throw ResetButton();
}
void safe() { called("safe"); }

}  // namespace

BRIDGE_SKETCH("twins", "1.2.3");

BRIDGE_CHANNELS(
  READING("level", "mm", level, SCALE(-1), RANGE(-500, 500)),
  READING("temperature", "degC", temperature),
  READING("ticks", "", ticks),
  OUTPUT_("led", "", setLed, SAFE(false)),
  OUTPUT_("fan", "", setFan, RANGE(0, 200), SAFE(0), HOLD_REQUIRED),
  OUTPUT_("setpoint", "degC", setPoint, RANGE(-10, 50)),
  OUTPUT_("trim", "V", setTrim, SAFE(-5), RANGE(-1000, 1000), SCALE(-2)),
  READING("c7", "", counter<7>),
  READING("c8", "", counter<8>),
  READING("c9", "", counter<9>),
  READING("c10", "", counter<10>),
  READING("c11", "", counter<11>),
  READING("c12", "", counter<12>),
  READING("tiny", "", tiny),
  READING("last", "", last),
);

BRIDGE_ACTIONS(
  ACTION("reset_count", "Set the counter to zero", resetCount),
  ACTION("add", "Add two numbers", add, ARG("a", -100, 100), ARG("b", -100, 100)),
  ACTION("refuse", "Refuse with a code", refuse, ARG("code", 64, 255)),
  ACTION("mix", "", mix, ARG("flag", 0, 1), ARG("small", -5, 5), ARG("big", 0, 4294967295), ARG("ratio", 0, 1, "V")),
  ACTION("slow", "Take some time", slow, ARG("ms", 0, 5000, "ms")),
  ACTION("crash", "Reset in the middle", crash),
);

namespace {

// ---- the bench ---------------------------------------------------------------------------------------------------

void boot() {
  nowMs = 0;
  isFragile = false;
  arriving.clear();
  memset(bridging::outputs(), 0, sizeof(bridging::Output) * 4);
  memset(bridgeMemory, 0, sizeof bridgeMemory);  // as a global's is at a reset
  new (bridgeMemory) Bridge(port);
  bridge().onSafe(safe);
  bridge().begin(250000);
}

void cutPower() {
  memset(static_cast<void *>(&bridging::record), 0xA5, sizeof bridging::record);
  boot();
}

std::string bytesOf(const std::string &hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += char(strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  return bytes;
}

void obey(const std::string &verb, std::istringstream &rest) {
  std::string text;
  if (verb == "rx") {
    rest >> text;
    arriving += bytesOf(text);
    bridge().poll();
  } else if (verb == "pass" || verb == "delay") {
    uint32_t ms;
    for (rest >> ms; ms; ms--) {
      nowMs++;
      verb == "pass" ? bridge().poll() : yield();
    }
  } else if (verb == "block") {
    uint32_t ms;
    rest >> ms;
    nowMs += ms;
    bridge().poll();
  } else if (verb == "set") {
    int64_t value;
    rest >> text >> value;
    readings[text] = uint32_t(value);
  } else if (verb == "fragile") {
    isFragile = true;
  } else if (verb == "stubborn") {
    isStubborn = true;
  } else if (verb == "chatty") {
    isChatty = true;
  } else if (verb == "room") {
    rest >> room;
  } else if (verb == "reset") {
    boot();
  } else if (verb == "power") {
    cutPower();
  } else if (verb == "blank") {
    memset(eepromBytes, 0xFF, sizeof eepromBytes);
    readings.clear();
    room = 63;
    cutPower();
  } else if (verb == "corrupt") {
    bridging::record.done ^= 4;
  } else if (verb == "print") {
    std::getline(rest >> std::ws, text);
    for (char c : text) port.write(uint8_t(c));
  } else if (verb == "log") {
    std::getline(rest >> std::ws, text);
    called("log %d", bridge().log(F(text.c_str())));
  } else {
    fprintf(stderr, "no such stimulus: %s\n", verb.c_str());
    exit(2);
  }
}

}  // namespace

uint32_t millis() { return nowMs; }
uint32_t micros() { return nowMs * 1000; }

int main() {
  char line[4096];
  while (fgets(line, sizeof line, stdin)) {
    std::istringstream rest(line);
    std::string verb;
    rest >> verb;
    try {
      obey(verb, rest);
    } catch (const ResetButton &) {
      boot();
    }
    flushSent();
    printf(".\n");
    fflush(stdout);
  }
}
