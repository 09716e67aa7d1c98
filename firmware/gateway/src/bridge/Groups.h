// Channels fill the groups of POLL in their order; one that would pass the limit of a reply opens the next group.
// Group 0 always exists.
#pragma once
#include "Tables.h"

namespace bridging {

constexpr uint8_t kMaxGroupSize = 43;  // bytes of values
constexpr uint8_t kAllGroups = 0xFF;   // in STREAM: one after another

class Groups {
 public:
  uint8_t groupOfNext(uint8_t valueSize) {
    used += valueSize;
    if (used > kMaxGroupSize) {
      used = valueSize;
      group++;
    }
    return group;
  }
  uint8_t last() const { return group; }  // so far

 private:
  uint8_t used = 0, group = 0;
};

uint8_t findLastGroup();

}  // namespace bridging
