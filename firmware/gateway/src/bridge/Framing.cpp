#include "Framing.h"

#include <util/crc16.h>

namespace bridging {

uint16_t crc16(const void *data, uint8_t size) {
  const uint8_t *byte = static_cast<const uint8_t *>(data);
  uint16_t crc = 0xFFFF;
  while (size--) crc = _crc_xmodem_update(crc, *byte++);
  return crc;
}

bool Decoder::take(uint8_t byte) {
  if (byte) {
    if (received < kMaxSegment) segment[received] = byte;
    if (received <= kMaxSegment) received++;
    return false;
  }
  length = received;
  received = 0;
  if (length == 0) return false;
  if (length > kMaxSegment) {
    count.overlong++;
    return false;
  }
  const bool isFrame = unstuff() && isIntact();
  isFrame ? count.sound++ : count.rejected++;
  return isFrame;
}

// Follows the chain of distances, which must end exactly where the segment does.
bool Decoder::unstuff() {
  uint8_t at = segment[0];
  while (at < length) {
    const uint8_t distance = segment[at];
    if (distance > length - at) return false;
    segment[at] = 0;
    at += distance;
  }
  return at == length;
}

bool Decoder::isIntact() const {
  if (length < 1 + kMinFrame) return false;
  const uint8_t size = length - 1 - kFcsSize;
  const uint16_t fcs = ~crc16(frame(), size);
  return frame()[size] == uint8_t(fcs >> 8) && frame()[size + 1] == uint8_t(fcs);
}

void Encoder::put(const void *bytes, uint8_t count) {
  memcpy(frame() + length, bytes, count);
  length += count;
}

void Encoder::putFlash(const void *bytes, uint8_t count) {
  memcpy_P(frame() + length, bytes, count);
  length += count;
}

void Encoder::send(Print &port, uint8_t type, uint8_t sequence, uint8_t session) {
  frame()[0] = type;
  frame()[1] = sequence;
  frame()[2] = session;
  const uint16_t fcs = ~crc16(frame(), length);
  put8(fcs >> 8);
  put8(fcs);
  port.write(wire, stuff());
  clear();
}

// Backwards from the closing delimiter, so that each zero knows how far away the next one is. Returns the wire's size.
uint8_t Encoder::stuff() {
  const uint8_t end = 2 + length;
  uint8_t distance = 0;
  wire[end] = 0;
  for (uint8_t at = end - 1; at > 1; at--) {
    distance++;
    if (wire[at]) continue;
    wire[at] = distance;
    distance = 0;
  }
  wire[1] = distance + 1;
  return end + 1;
}

}  // namespace bridging
