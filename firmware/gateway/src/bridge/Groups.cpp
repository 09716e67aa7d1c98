#include "Groups.h"

namespace bridging {

uint8_t findLastGroup() {
  Groups groups;
  uint8_t last = 0;
  for (Channel channel; channel.exists(); channel.next()) last = groups.groupOfNext(sizeOf(channel.type()));
  return last;
}

}  // namespace bridging
