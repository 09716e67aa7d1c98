// A stretch of time in ms. It is looked at, not waited for; millis() may wrap while it runs.
#pragma once
#include <Arduino.h>

namespace bridging {

class Timer {
 public:
  void start(uint16_t durationMs);
  void stop() { lengthMs = 0; }
  bool isRunning() const { return lengthMs; }  // until it is stopped, over or not
  bool isOver() const;                         // false when it does not run

  uint16_t lengthMs;
  uint32_t beganMs;
};

}  // namespace bridging
