// At most once: what the board remembers of its commands across a reset.
//
// A command is entered as started before its handler runs and as done after it. A reset in between leaves
// started != done: nobody can tell whether the handler ran, and the board says so instead of running it again.
#pragma once
#include "Platform.h"

namespace bridging {

class Record {
 public:
  bool isSound() const;             // as this sketch left it? Memory is noise after power-on and other sketches differ
  void clear(bool latchedBySafe);   // nothing is known: no epoch
  void adopt(uint32_t newEpoch);    // a journal's identity; another one's ids mean nothing
  void start(uint32_t id);          // its handler runs next
  void finish(uint8_t withCode, uint32_t withResult);
  void refuse(uint32_t id, uint8_t withCode);  // final, without its handler
  void latch(bool bySafe);
  void countReset();

  // HELLO reports these five as they lie here, in this order.
  static constexpr uint8_t kReportSize = 14;
  uint32_t epoch;    // 0 = none
  uint32_t started;  // command ids rise; 0 = none
  uint32_t done;
  uint8_t code;      // of the command done: 0, an Error or the handler's own
  uint8_t resets;    // since power-on

  uint32_t result;   // of the command done
  bool latched;      // SAFE was asked for and nobody cleared it
  uint32_t schema;   // of the sketch that wrote this
  uint16_t crc;      // of all above

 private:
  void seal();
  uint16_t checksum() const;
};

extern Record record;  // without a constructor, so that nothing touches it at a reset

}  // namespace bridging
