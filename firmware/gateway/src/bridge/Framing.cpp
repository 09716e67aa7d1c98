#include "Framing.h"

#include <util/crc16.h>

namespace bridging {

uint16_t crc16(const void *data, uint8_t size, uint16_t crc) {
  const uint8_t *byte = static_cast<const uint8_t *>(data);
  while (size--) crc = _crc_xmodem_update(crc, *byte++);
  return crc;
}

bool Decoder::take(uint8_t byte) {
  if (byte) {
    if (received < sizeof frame) frame[received] = byte;
    if (received <= sizeof frame) received++;
    return false;
  }
  const uint8_t length = received;
  received = 0;
  if (length == 0) return false;
  if (length > sizeof frame) {
    overlong++;
    return false;
  }
  size = length;
  if (unstuff() && isSound()) return true;
  rejected++;
  return false;
}

bool Decoder::unstuff() {
  uint8_t in = 0, out = 0;
  while (in < size) {
    uint8_t block = frame[in++] - 1;
    if (block > size - in) return false;
    while (block--) frame[out++] = frame[in++];
    if (in < size) frame[out++] = 0;
  }
  size = out;
  return true;
}

bool Decoder::isSound() {
  if (size < kMinFrame) return false;
  size -= kFcsSize;
  const uint16_t fcs = ~crc16(frame, size);
  return frame[size] == uint8_t(fcs >> 8) && frame[size + 1] == uint8_t(fcs);
}

void sendFrame(Print &port, uint8_t *frame, uint8_t size) {
  const uint16_t fcs = ~crc16(frame, size);
  frame[size++] = fcs >> 8;
  frame[size++] = fcs;
  port.write(uint8_t(0));
  const uint8_t *const end = frame + size;
  for (const uint8_t *block = frame; block <= end;) {  // one round more than there are zeros: the last block has none
    const uint8_t *zero = block;
    while (zero < end && *zero) zero++;
    port.write(uint8_t(zero - block + 1));
    while (block < zero) port.write(*block++);
    block++;
  }
  port.write(uint8_t(0));
}

}  // namespace bridging
