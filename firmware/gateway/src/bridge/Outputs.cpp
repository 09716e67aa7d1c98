#include "Outputs.h"

namespace bridging {

namespace {

bool settle(bool onlyLapsed) {
  bool hasMoved = false;
  for (Channel channel; channel.exists(); channel.next()) {
    if (!channel.isOutput() || (onlyLapsed && !channel.output->hold.isOver())) continue;
    channel.makeSafe();
    hasMoved = true;
  }
  return hasMoved;
}

}  // namespace

void makeOutputsSafe() { settle(false); }
bool lapseHolds() { return settle(true); }

}  // namespace bridging
