#include "Declare.h"

namespace bridging {

// ---- what a sketch has without the macros ------------------------------------------------------------------------

#define BRIDGE_DEFAULT __attribute__((weak))

BRIDGE_DEFAULT uint8_t channelCount() { return 0; }
BRIDGE_DEFAULT const uint8_t *channelRecords() { return nullptr; }
BRIDGE_DEFAULT const Access *channelAccess() { return nullptr; }
BRIDGE_DEFAULT Output *outputs() { return nullptr; }
BRIDGE_DEFAULT uint32_t channelsHash() { return kHashOfNothing; }

BRIDGE_DEFAULT uint8_t actionCount() { return 0; }
BRIDGE_DEFAULT const uint8_t *actionRecords() { return nullptr; }
BRIDGE_DEFAULT const Call *actionCalls() { return nullptr; }
BRIDGE_DEFAULT uint32_t schemaHash() { return channelsHash(); }

namespace {
constexpr Names kNames[] = {{BRIDGE_BOARD, "sketch", ""}};
constexpr auto kBoardRecord PROGMEM = packRecords(kNames, Count<tableSize(kNames, 1)>::type());
}  // namespace

BRIDGE_DEFAULT const uint8_t *boardRecord() { return kBoardRecord.items; }

// ---- records -----------------------------------------------------------------------------------------------------

const uint8_t *skipRecord(const uint8_t *record, uint8_t headSize) {
  record += headSize;
  record += pgm_read_byte(record) + 1;
  return record + pgm_read_byte(record) + 1;
}

const uint8_t *actionRecord(uint8_t index) {
  const uint8_t *record = actionRecords();
  while (index--) record = argumentRecord(record, pgm_read_byte(record + kActionArguments));
  return record;
}

const uint8_t *argumentRecord(const uint8_t *action, uint8_t position) {
  const uint8_t *record = skipRecord(action, kActionHead);
  while (position--) record = skipRecord(record, kArgumentHead);
  return record;
}

// ---- limits ------------------------------------------------------------------------------------------------------

namespace {

// Values of a type in the order of unsigned numbers: its bytes moved to the top, the sign bit of signed ones turned
// over, negative floats counted from the largest magnitude up. NaN lands beyond both infinities.
uint32_t rank(const uint8_t *value, uint8_t type) {
  constexpr uint32_t kSign = 0x80000000;
  uint32_t number = 0;
  const uint8_t size = sizeOf(type);
  memcpy(reinterpret_cast<uint8_t *>(&number) + sizeof number - size, value, size);
  if (type == kF32) {
    if (number == kSign) number = 0;  // -0.0 is 0
    return number & kSign ? ~number : number | kSign;
  }
  const bool isSigned = type == kI8 || type == kI16 || type == kI32;
  return isSigned ? number ^ kSign : number;
}

}  // namespace

bool fits(const uint8_t *value, uint8_t type, const uint8_t *limits) {
  uint8_t ends[2 * sizeof(Bits)];
  memcpy_P(ends, limits, sizeof ends);
  const uint32_t number = rank(value, type);
  return rank(ends, type) <= number && number <= rank(ends + sizeof(Bits), type);
}

// ---- channels ----------------------------------------------------------------------------------------------------

Channel::Channel(uint8_t atIndex) : record(channelRecords()), output(outputs()), index(0) {
  while (index < atIndex) next();
}

void Channel::next() {
  if (isOutput()) output++;
  record = skipRecord(record, kChannelHead);
  index++;
}

Bits Channel::value() const {
  if (isOutput()) return output->value;
  return Read(pgm_read_ptr(&channelAccess()[index].read))();
}

void Channel::write(Bits value) const { Write(pgm_read_ptr(&channelAccess()[index].write))(value); }

void Channel::makeSafe() const {
  output->hold.stop();
  if (!(flags() & kHasSafe)) return;
  output->value = pgm_read_dword(record + kChannelSafe);
  write(output->value);
}

}  // namespace bridging
