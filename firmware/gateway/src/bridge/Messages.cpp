#include "Messages.h"

namespace bridging {

void Outgoing::put(const void *bytes, uint8_t count) {
  memcpy(frame + size, bytes, count);
  size += count;
}

void Outgoing::putFlash(const void *bytes, uint8_t count) {
  memcpy_P(frame + size, bytes, count);
  size += count;
}

void Outgoing::send(Print &port, uint8_t type, uint8_t sequence, uint8_t session) {
  frame[0] = type;
  frame[1] = sequence;
  frame[2] = session;
  sendFrame(port, frame, size);
  clear();
}

}  // namespace bridging
