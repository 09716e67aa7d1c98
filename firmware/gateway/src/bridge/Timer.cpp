#include "Timer.h"

namespace bridging {

void Timer::start(uint16_t durationMs) {
  lengthMs = durationMs;
  beganMs = millis();
}

bool Timer::isOver() const { return lengthMs && millis() - beganMs >= lengthMs; }

}  // namespace bridging
