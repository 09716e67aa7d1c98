// The tables of a sketch as they lie in flash. Declare.h makes them out of the sketch's lines; here they are read.
//
// A record lies in flash exactly as DESCRIBE sends it: a head of fixed size, then two strings with their lengths in
// front. Records follow one another without gaps, so a table is walked from its start.
#pragma once
#include "Platform.h"
#include "Timer.h"

namespace bridging {

enum Type : uint8_t { kBool, kU8, kI8, kU16, kI16, kU32, kI32, kF32, kNone = 0xFF };
enum ChannelFlag : uint8_t { kReadable = 1, kWritable = 2, kHasSafe = 8, kNeedsHold = 16 };

// A value of any type in the low bytes; only those that its type has mean anything.
typedef uint32_t Bits;

constexpr uint8_t sizeOf(uint8_t type) { return type <= kI8 ? 1 : type <= kI16 ? 2 : type <= kF32 ? 4 : 0; }

typedef Bits (*Read)();
typedef void (*Write)(Bits value);
typedef Bits (*Call)(const uint8_t *arguments);
union Access {
  Read read;
  Write write;
  constexpr Access(Read function) : read(function) {}
  constexpr Access(Write function) : write(function) {}
};

// What is kept of an output while the sketch runs.
struct Output {
  Bits value;  // in force on the board
  Timer hold;
};

// Offsets into the heads of records.
constexpr uint8_t kChannelType = 0, kChannelFlags = 1, kChannelLimits = 3, kChannelSafe = 11, kChannelHead = 15;
constexpr uint8_t kActionArguments = 0, kActionResult = 1, kActionHead = 3;
constexpr uint8_t kArgumentType = 0, kArgumentLimits = 2, kArgumentHead = 10;

// What BRIDGE_CHANNELS, BRIDGE_ACTIONS and BRIDGE_SKETCH define; without them there is nothing.
uint8_t channelCount();
const uint8_t *channelRecords();  // in flash
const Access *channelAccess();    // in flash, one a channel
Output *outputs();                // one a channel that can be written

uint8_t actionCount();
const uint8_t *actionRecords();   // in flash, each followed by those of its arguments
const Call *actionCalls();        // in flash, one an action

const uint8_t *boardRecord();     // the strings board, sketch and version, in flash

// FNV-1a over all records, in their order: names the whole description. Known to the compiler.
uint32_t schemaHash();

// The record behind one with such a head.
const uint8_t *skipRecord(const uint8_t *record, uint8_t headSize);
const uint8_t *skipAction(const uint8_t *record);
const uint8_t *actionRecord(uint8_t index);
const uint8_t *argumentRecord(const uint8_t *action, uint8_t position);

// Is this value, as it lies in a frame, within a record's minimum and maximum? NaN is not.
bool fits(const uint8_t *value, uint8_t type, const uint8_t *limits);

// Walks the channels: for (Channel c; c.exists(); c.next())
class Channel {
 public:
  explicit Channel(uint8_t atIndex = 0);
  bool exists() const { return index < channelCount(); }
  void next();
  uint8_t type() const { return pgm_read_byte(record + kChannelType); }
  uint8_t flags() const { return pgm_read_byte(record + kChannelFlags); }
  bool isOutput() const { return flags() & kWritable; }
  Bits value() const;            // as published: an output's is the one in force
  void write(Bits value) const;  // runs the sketch's function
  void makeSafe() const;         // an output: ends its hold and writes its safe value, if it has one

  const uint8_t *record;
  Output *output;  // of this channel if it can be written, else of the next that can
  uint8_t index;
};

}  // namespace bridging
