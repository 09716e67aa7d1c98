// Frames on the wire:  00 | COBS( TYPE SEQ SID PAYLOAD... FCS_hi FCS_lo ) | 00
// COBS takes every zero out of a frame, so that 00 can only mean "a frame ends here": after any noise the next
// delimiter is a fresh start.
#pragma once
#include <Arduino.h>

namespace bridging {

constexpr uint8_t kHeaderSize = 3;                                     // type, sequence number, session id
constexpr uint8_t kMaxPayload = 54;                                    // so that a frame on the wire is 62 bytes: an
constexpr uint8_t kFcsSize = 2;                                        // Uno's receive ring holds 63
constexpr uint8_t kMinFrame = kHeaderSize + kFcsSize;
constexpr uint8_t kMaxFrame = kHeaderSize + kMaxPayload + kFcsSize;    // before COBS, which adds one byte
constexpr uint8_t kMaxWire = 1 + kMaxFrame + 1 + 1;

// CRC-16, polynomial 0x1021, not reflected. A frame carries the complement: without it COBS frames survive the flip of
// one bit of a delimiter.
uint16_t crc16(const void *data, uint8_t size, uint16_t crc = 0xFFFF);

// Makes frames of bytes. Noise is counted, never answered.
class Decoder {
 public:
  // True when this byte completes a sound frame: it then lies in frame[0..size) without its FCS, until the next call.
  bool take(uint8_t byte);

  uint8_t size = 0;
  uint16_t rejected = 0;  // segments that were no frame
  uint16_t overlong = 0;  // segments longer than any frame
  uint8_t frame[kMaxFrame + 1];

 private:
  bool unstuff();  // undoes COBS, in place
  bool isSound();  // checks length and FCS

  uint8_t received = 0;  // bytes since the last delimiter; one more than fit means: overlong
};

// Sends frame[0..size). Its buffer must have room for the FCS behind that.
void sendFrame(Print &port, uint8_t *frame, uint8_t size);

}  // namespace bridging
