#include "Outputs.h"

namespace bridging {

void makeOutputsSafe() {
  for (Channel channel; channel.exists(); channel.next())
    if (channel.flags() & kWritable) channel.makeSafe();
}

bool lapseHolds(uint32_t nowMs) {
  bool lapsed = false;
  for (Channel channel; channel.exists(); channel.next()) {
    if (!(channel.flags() & kWritable)) continue;
    const uint16_t holdMs = channel.output->holdMs;
    if (holdMs == 0 || nowMs - channel.output->heldSince < holdMs) continue;
    channel.makeSafe();
    lapsed = true;
  }
  return lapsed;
}

void keepOutput(const Channel &output, Bits value, uint16_t holdMs) {
  output.output->value = value;
  output.output->holdMs = holdMs;
  output.output->heldSince = millis();
}

}  // namespace bridging
