// libFuzzer's target: the library's receiver and session, with a small sketch, under any bytes at any time.
//
// The input is a list of steps, each begun by one byte (fuzzing.py makes such lists of the shared conversations):
//
//   00-7F BYTES                      bytes arrive as they are, so many as the byte modulo 64 says
//   80-BF TYPE SID LENGTH PAYLOAD    a sound frame arrives: noise alone would seldom get past the checksum
//   C0-EF N                          N times 16 ms pass at once, then the board polls
//   F0-F7                            1 to 8 times 250 ms pass, polled every 50 ms
//   F8-FB                            room in the transmit ring: untold, too little for an event, just enough, ample
//   FC-FF                            the reset button
//
// What must hold: all that is sent are sound frames; each sound frame that arrives is answered once, with its own
// sequence number and session; no command id has its function run twice, resets included; and outputs move only by a
// command, or to their safe values when the sketch begins, time has passed or SAFE came.
#include <stdio.h>
#include <stdlib.h>

#include <new>
#include <set>
#include <string>

#include <avr/eeprom.h>

#define BRIDGE_BOARD "Fuzz"
#include "Bridge.h"
#include "Record.h"

uint8_t eepromBytes[E2END + 1];

namespace {

uint32_t nowMs;
int room = 63;
std::string arriving, sent;

void fail(const char *what) {
  fprintf(stderr, "broken: %s\n", what);
  abort();
}
void require(bool isTrue, const char *what) {
  if (!isTrue) fail(what);
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

// ---- the sketch, and what it witnesses ---------------------------------------------------------------------------

struct ResetButton {};  // thrown by the action that resets the board before it returns

bool isStarting;         // the sketch begins
bool isCommanded;        // the frame at hand is a COMMAND
bool maySettle;          // time has passed, or the frame at hand is SAFE
std::set<uint32_t> ran;  // command ids, under the epoch in the record
uint32_t ranEpoch;

void ranCommand() {
  require(isCommanded, "a command ran that nobody sent");
  require(bridging::record.epoch != 0, "a command ran without an epoch");
  require(!bridging::record.latched, "a command ran in spite of SAFE");
  require(bridging::record.started != bridging::record.done, "a command ran that was not recorded as started");
  require(ran.insert(bridging::record.started).second, "a command ran twice");
}

void moved(bool isSafeValue) {
  if (isSafeValue && (isStarting || maySettle)) return;
  ranCommand();
}

bool door() { return nowMs & 1; }
float level() { return float(nowMs) / 3; }
int16_t count() { return int16_t(nowMs); }
void setLed(bool on) { moved(!on); }
void setFan(uint8_t speed) {
  require(speed <= 200, "a value outside its range");
  moved(speed == 7);
}
void setTrim(float trim) {
  require(trim >= -2 && trim <= 3, "a value outside its range, or NaN");
  ranCommand();  // it has no safe value
}
void resetCount() { ranCommand(); }
int16_t add(int16_t a, int16_t b) {
  require(a >= -100 && a <= 100 && b >= -100 && b <= 100, "an argument outside its range");
  ranCommand();
  return a + b;
}
void refuse(uint8_t code) {
  require(code >= 64, "an argument outside its range");
  ranCommand();
  bridge().refuse(code);
  bridge().log(F("refused"));
}

float mix(bool, int8_t small, uint32_t, float ratio) {
  require(small >= -5 && small <= 5 && ratio >= 0 && ratio <= 1, "an argument outside its range");
  ranCommand();
  return ratio;
}
uint32_t slow(uint16_t ms) {
  ranCommand();
  nowMs += ms;
  yield();  // as delay() does; poll() must not be entered again
  maySettle = true;
  return nowMs;
}
void crash() {
  ranCommand();
  throw ResetButton();
}

}  // namespace

// Outputs and actions have the indexes and types of the bench board's, so that the shared conversations reach far.
BRIDGE_CHANNELS(
  READING("door", "", door),
  READING("level", "m", level),
  READING("count", "", count),
  OUTPUT_("led", "", setLed, SAFE(false)),
  OUTPUT_("fan", "", setFan, RANGE(0, 200), SAFE(7), HOLD_REQUIRED),
  OUTPUT_("trim", "", setTrim, RANGE(-2, 3)),
);
BRIDGE_ACTIONS(
  ACTION("reset_count", "", resetCount),
  ACTION("add", "", add, ARG("a", -100, 100), ARG("b", -100, 100)),
  ACTION("refuse", "", refuse, ARG("code", 64, 255)),
  ACTION("mix", "", mix, ARG("flag", 0, 1), ARG("small", -5, 5), ARG("big", 0, 4294967295), ARG("ratio", 0, 1)),
  ACTION("slow", "", slow, ARG("ms", 0, 5000)),
  ACTION("crash", "", crash),
);

uint32_t millis() { return nowMs; }
uint32_t micros() { return nowMs * 1000; }

namespace {

void boot() {
  nowMs = 0;
  arriving.clear();
  memset(bridging::outputs(), 0, sizeof(bridging::Output) * 3);
  memset(bridgeMemory, 0, sizeof bridgeMemory);  // as a global's is at a reset
  new (bridgeMemory) Bridge(port);
  isStarting = true;
  bridge().begin(250000);
  isStarting = false;
  sent.clear();
}

void powerOn() {
  room = 63;
  ran.clear();
  memset(eepromBytes, 0xFF, sizeof eepromBytes);
  memset(static_cast<void *>(&bridging::record), 0xA5, sizeof bridging::record);
  boot();
}

// ---- what goes over the wire -------------------------------------------------------------------------------------

// Type, sequence number and session of every sound frame that the board sent; nothing else may be in it.
std::string headsOf(const std::string &wire) {
  static bridging::Decoder decoder;
  decoder = bridging::Decoder();
  std::string heads;
  for (char byte : wire)
    if (decoder.take(uint8_t(byte))) heads.append(reinterpret_cast<const char *>(decoder.frame()), 3);
  require(!decoder.count.rejected && !decoder.count.overlong, "the board sent what is no frame");
  require(wire.empty() || (wire.front() == 0 && wire.back() == 0), "the board sent half a frame");
  return heads;
}

struct Wire : Print {
  std::string bytes;
  size_t write(uint8_t byte) override {
    bytes += char(byte);
    return 1;
  }
};

bridging::Decoder witness;  // of what arrives; a second receiver, since a frame may begin in one step and end in another

// `request` is empty, or a head that is to be answered once. Events may stand around the answer.
void checkAnswer(const std::string &request, const std::string &replies) {
  bool isAnswered = request.empty();
  for (size_t i = 0; i < replies.size(); i += 3) {
    const uint8_t type = uint8_t(replies[i]);
    if (type >= 0x40 && type < 0x50) continue;
    require(!isAnswered, "an answer to no request");
    isAnswered = true;
    require(type == 0xFF || type == (uint8_t(request[0]) | 0x80), "an answer of another type");
    require(replies.compare(i + 1, 2, request, 1, 2) == 0, "an answer to another request");
  }
  require(isAnswered, "a request without an answer");
}

void poll(const std::string &request, bool hasTimePassed) {
  isCommanded = !request.empty() && request[0] == bridging::kCommand;
  maySettle = hasTimePassed || (!request.empty() && request[0] == bridging::kSafe);
  try {
    bridge().poll();
  } catch (const ResetButton &) {
    witness = bridging::Decoder();
    return boot();
  }
  require(arriving.empty(), "bytes were left in the port");
  checkAnswer(request, headsOf(sent));
  sent.clear();
  if (bridging::record.epoch != ranEpoch) ran.clear();
  ranEpoch = bridging::record.epoch;
}

// Polled at each byte that ends a frame, so that what happens can be laid at its door.
void arrive(const std::string &bytes) {
  for (char byte : bytes) {
    arriving += byte;
    if (witness.take(uint8_t(byte))) poll(std::string(reinterpret_cast<const char *>(witness.frame()), 3), false);
  }
  poll("", false);
}

// ---- the input ---------------------------------------------------------------------------------------------------

class Input {
 public:
  Input(const uint8_t *data, size_t size) : data(data), left(size) {}
  bool isEmpty() const { return !left; }
  uint8_t byte() { return left ? (left--, *data++) : 0; }
  std::string bytes(size_t count) {
    std::string taken;
    while (count-- && left) taken += char(byte());
    return taken;
  }

 private:
  const uint8_t *data;
  size_t left;
};

std::string soundFrame(Input &input) {
  static uint8_t sequence;  // any will do, as long as it is not always the same
  const uint8_t type = input.byte(), session = input.byte();
  const std::string payload = input.bytes(input.byte() % (bridging::kMaxPayload + 1));
  static bridging::Encoder encoder;  // its first byte begins at 0
  Wire wire;
  encoder.clear();
  encoder.put(payload.data(), uint8_t(payload.size()));
  encoder.send(wire, type, sequence++, session);
  return wire.bytes;
}

void step(Input &input) {
  const uint8_t kind = input.byte();
  if (kind < 0x80) {
    arrive(input.bytes(kind % 64));
  } else if (kind < 0xC0) {
    arrive(soundFrame(input));
  } else if (kind < 0xF0) {
    nowMs += 16u * input.byte();
    poll("", true);
  } else if (kind < 0xF8) {
    for (int i = 0; i < 5 * (kind - 0xEF); i++) {
      nowMs += 50;
      poll("", true);
    }
  } else if (kind < 0xFC) {
    static const int rooms[] = {0, 61, 62, 63};
    room = rooms[kind - 0xF8];
  } else {
    witness = bridging::Decoder();
    boot();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  witness = bridging::Decoder();
  ranEpoch = 0;
  powerOn();
  for (Input input(data, size); !input.isEmpty();) step(input);
  return 0;
}
