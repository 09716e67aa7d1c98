// The library's framing against the shared frames, exhaustively. The first argument is the test, the others its files.
#include <stdio.h>
#include <stdlib.h>

#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "Framing.h"

namespace {

typedef std::string Bytes;

struct Golden {
  std::string name;
  Bytes frame;  // type, sequence number, session, payload
  Bytes wire;
};

struct Wire : Print {
  Bytes bytes;
  size_t write(uint8_t byte) override {
    bytes += char(byte);
    return 1;
  }
};

// A session's decoder lies in a global, whose members begin at 0.
struct Receiver {
  bridging::Decoder decoder = bridging::Decoder();
  std::vector<Bytes> frames;

  Receiver &take(const Bytes &bytes) {
    for (char byte : bytes)
      if (decoder.take(uint8_t(byte)))
        frames.push_back(Bytes(reinterpret_cast<const char *>(decoder.frame()), 3 + decoder.payloadSize()));
    return *this;
  }
};

Bytes fromHex(const std::string &hex) {
  Bytes bytes;
  if (hex == "-") return bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes += char(strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  return bytes;
}

std::vector<std::vector<std::string>> rows(const char *path) {
  std::vector<std::vector<std::string>> found;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::vector<std::string> row;
    for (std::string word; words >> word;) row.push_back(word);
    found.push_back(row);
  }
  return found;
}

std::vector<Golden> goldenFrames(const char *path) {
  std::vector<Golden> frames;
  for (const auto &row : rows(path))
    frames.push_back({row[0], fromHex(row[1] + row[2] + row[3]) + fromHex(row[4]), fromHex(row[5])});
  return frames;
}

int failures;

void expect(bool isTrue, const std::string &what) {
  if (isTrue) return;
  printf("%s\n", what.c_str());
  failures++;
}

bool isOnly(const Receiver &receiver, const Bytes &frame) {
  return receiver.frames.size() == 1 && receiver.frames[0] == frame;
}

// ---- tests -------------------------------------------------------------------------------------------------------

void encodes(const Golden &golden) {
  bridging::Encoder out = bridging::Encoder();
  Wire wire;
  out.clear();
  out.put(golden.frame.data() + 3, uint8_t(golden.frame.size() - 3));
  out.send(wire, uint8_t(golden.frame[0]), uint8_t(golden.frame[1]), uint8_t(golden.frame[2]));
  expect(wire.bytes == golden.wire, golden.name + ": is encoded otherwise");
}

void decodes(const Golden &golden) { expect(isOnly(Receiver().take(golden.wire), golden.frame), golden.name); }

void survivesEverySplit(const Golden &golden) {
  const Bytes other = fromHex("00030604034d0700");
  for (size_t at = 0; at <= golden.wire.size(); at++) {
    Receiver receiver;
    receiver.take(golden.wire.substr(0, at)).take("").take(golden.wire.substr(at)).take(other);
    expect(receiver.frames.size() == 2 && receiver.frames[0] == golden.frame, golden.name + ": split");
  }
}

// A fault may leave the frame as it was (a delimiter turned into noise before it), never make another one.
void accept(const Golden &golden, const Bytes &damaged, const char *fault, size_t at) {
  Receiver receiver;
  receiver.take(damaged).take(Bytes(1, '\0'));
  for (const Bytes &frame : receiver.frames)
    expect(frame == golden.frame, golden.name + ": " + fault + " at " + std::to_string(at) + " makes another frame");
  receiver.frames.clear();
  receiver.take(golden.wire);
  expect(isOnly(receiver, golden.frame), golden.name + ": lost after " + fault + " at " + std::to_string(at));
}

void rejectsEveryBitFlip(const Golden &golden) {
  for (size_t bit = 0; bit < golden.wire.size() * 8; bit++) {
    Bytes damaged = golden.wire;
    damaged[bit / 8] = char(damaged[bit / 8] ^ 1 << bit % 8);
    accept(golden, damaged, "bit", bit);
  }
}

void rejectsEveryByteFault(const Golden &golden) {
  for (size_t at = 0; at < golden.wire.size(); at++) {
    for (int value = 0; value < 256; value++) {
      Bytes damaged = golden.wire;
      damaged[at] = char(value);
      accept(golden, damaged, "byte", at);
      damaged = golden.wire;
      damaged.insert(at, 1, char(value));
      accept(golden, damaged, "inserted byte", at);
    }
    Bytes damaged = golden.wire;
    damaged.erase(at, 1);
    accept(golden, damaged, "lost byte", at);
    damaged = golden.wire;
    damaged.insert(at, 1, damaged[at]);
    accept(golden, damaged, "doubled byte", at);
    if (at + 1 == golden.wire.size()) continue;
    damaged = golden.wire;
    std::swap(damaged[at], damaged[at + 1]);
    accept(golden, damaged, "swapped bytes", at);
  }
}

void rejects(const std::vector<std::string> &row) {
  Receiver receiver;
  receiver.take(fromHex(row[1]));
  expect(receiver.frames.empty(), row[0] + ": gives a frame");
  const Bytes ping = fromHex("000408014401010103405200");
  receiver.frames.clear();
  receiver.take(ping);
  expect(receiver.frames.size() == 1, row[0] + ": the frame behind it is lost");
}

void findsFramesInNoise(const std::vector<Golden> &frames) {
  uint32_t state = 1;
  Receiver receiver;
  size_t sent = 0;
  for (int round = 0; round < 2000; round++) {
    for (uint32_t left = round % 97; left; left--) {
      state = state * 1664525 + 1013904223;
      receiver.take(Bytes(1, char(state >> 24)));
    }
    const Golden &golden = frames[size_t(round) % frames.size()];
    const size_t before = receiver.frames.size();
    receiver.take(golden.wire);
    sent++;
    expect(receiver.frames.size() > before && receiver.frames.back() == golden.frame, golden.name + ": lost in noise");
  }
  expect(receiver.frames.size() == sent, "noise gave frames");
  expect(receiver.decoder.count.sound == uint16_t(sent), "sound frames are miscounted");
}

void isBounded() {
  Receiver receiver;
  for (int i = 0; i < 100000; i++) receiver.take("x");
  expect(receiver.decoder.count.overlong == 0 && receiver.decoder.count.rejected == 0, "counted before its end");
  receiver.take(Bytes(1, '\0'));
  expect(receiver.decoder.count.overlong == 1 && receiver.decoder.count.rejected == 0, "not counted once");
}

}  // namespace

int main(int count, char **arguments) {
  const std::string test = count > 1 ? arguments[1] : "";
  const char *const path = count > 2 ? arguments[2] : "";
  const std::function<void(const Golden &)> one = test == "encode"      ? encodes
                                                  : test == "decode"    ? decodes
                                                  : test == "split"     ? survivesEverySplit
                                                  : test == "bit-flip"  ? rejectsEveryBitFlip
                                                  : test == "byte-fault" ? rejectsEveryByteFault
                                                                        : nullptr;
  if (one) {
    for (const Golden &golden : goldenFrames(path)) one(golden);
  } else if (test == "noise") {
    findsFramesInNoise(goldenFrames(path));
  } else if (test == "bounded") {
    isBounded();
  } else if (test == "rejected") {
    for (const auto &row : rows(path)) rejects(row);
  } else {
    printf("no such test: %s\n", test.c_str());
    failures++;
  }
  return failures ? 1 : 0;
}
