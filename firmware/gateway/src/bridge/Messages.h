// The words of the protocol.
#pragma once
#include <stdint.h>
#include <string.h>

namespace bridging {

constexpr uint8_t kProtocolVersion = 1;

enum MessageType : uint8_t {
  kHello = 1,
  kDescribe,
  kPoll,
  kCommand,
  kEpoch,
  kSafe,
  kClear,
  kPing,
  kStream,
  kStats,
  kSetId,
  kLastRequest = kSetId,
  kBoot = 0x40,
  kLog = 0x41,
  kTelemetry = 0x43,
  kReply = 0x80,  // or-ed to the request's type
  kError = 0xFF
};

enum Error : uint8_t {
  kNoError,
  kNoSession,
  kBadType,
  kBadLength,
  kBadTarget,
  kReadOnly,
  kOutOfRange,
  kStaleId,
  kBusy,
  kBadVersion,
  kBadEpoch,
  kInFailsafe,
  kHoldRequired,
  kUnsupported
};

enum Outcome : uint8_t { kExecuted, kDuplicate, kInterrupted };

enum HelloFlag : uint8_t {
  kEpochMatches = 1,
  kLatched = 2,
  kRecordWasLost = 4,
  kNativeUsb = 8,
  kCanStream = 32,
  kLatchedBySafe = 64
};

enum StatusFlag : uint8_t {
  kFailsafe = 1,
  kOverrunSeen = 2,
  kInterruptedPresent = 4,
  kSlowLoop = 8,
  kFailsafeBySafe = 16,
  kHoldLapsed = 32
};

inline uint16_t get16(const uint8_t *bytes) {
  uint16_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}
inline uint32_t get32(const uint8_t *bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace bridging
