// Frames on the wire:  00 | COBS( TYPE SEQ SID PAYLOAD... FCS_hi FCS_lo ) | 00
// COBS takes every zero out of a frame, so that 00 can only mean "a frame ends here": after any noise the next
// delimiter is a fresh start. It puts one byte in front, the distance to the first zero, and makes each zero the
// distance to the next one; both ways work in place.
#pragma once
#include <Arduino.h>

namespace bridging {

constexpr uint8_t kHeaderSize = 3;                                   // type, sequence number, session id
constexpr uint8_t kMaxPayload = 54;                                  // a frame on the wire is then 62 bytes, and
constexpr uint8_t kFcsSize = 2;                                      // an Uno's rings hold 63
constexpr uint8_t kMinFrame = kHeaderSize + kFcsSize;
constexpr uint8_t kMaxFrame = kHeaderSize + kMaxPayload + kFcsSize;
constexpr uint8_t kMaxSegment = 1 + kMaxFrame;                       // what stands between two delimiters
constexpr uint8_t kMaxWire = 1 + kMaxSegment + 1;

// CRC-16, polynomial 0x1021, not reflected. A frame carries the complement: without it a COBS frame can survive the
// flip of one bit of a delimiter.
uint16_t crc16(const void *data, uint8_t size);

// Makes frames of bytes. Noise is counted, never answered.
class Decoder {
 public:
  // True when this byte completes a sound frame; it then lies in frame(), until the next byte is taken.
  bool take(uint8_t byte);

  const uint8_t *frame() const { return segment + 1; }
  uint8_t payloadSize() const { return length - 1 - kMinFrame; }

  struct {  // as STATS tells them
    uint16_t sound;     // frames
    uint16_t rejected;  // segments that were no frame
    uint16_t overlong;  // segments longer than any frame
  } count;

 private:
  bool unstuff();
  bool isIntact() const;

  uint8_t received;  // bytes since the last delimiter; one more than fit means: overlong
  uint8_t length;    // of the segment
  uint8_t segment[kMaxSegment];
};

// A frame on its way out. Whoever fills it knows that it fits: no message of the protocol is longer.
class Encoder {
 public:
  void clear() { length = kHeaderSize; }
  void put8(uint8_t value) { frame()[length++] = value; }
  void put32(uint32_t value) { put(&value, sizeof value); }
  void put(const void *bytes, uint8_t count);
  void putFlash(const void *bytes, uint8_t count);
  void send(Print &port, uint8_t type, uint8_t sequence, uint8_t session);  // and is clear again

 private:
  uint8_t *frame() { return wire + 2; }
  uint8_t stuff();

  uint8_t length;
  uint8_t wire[kMaxWire];  // its first byte is never written, and 0
};

}  // namespace bridging
