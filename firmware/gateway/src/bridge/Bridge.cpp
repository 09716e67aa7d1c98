#include "Bridge.h"

#include "Outputs.h"

namespace {
Bridge *began;  // the one that yield() polls
}

// The core calls yield() in delay(), so a sketch that sleeps still answers. A sketch may define its own.
__attribute__((weak)) void yield() {
  if (began) began->poll();
}

void Bridge::begin(uint32_t baud) {
  bridging::makeOutputsSafe();
  session.begin(openPort(session.port, baud));
  began = this;
}
