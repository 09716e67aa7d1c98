#include "Declare.h"

namespace bridging {

// What a sketch without the macro of that name has. Functions, because a weak variable would stay in RAM.
__attribute__((weak)) const ChannelTable &channels() {
  static const ChannelTable none = {nullptr, nullptr, nullptr, 0};
  return none;
}

__attribute__((weak)) const ActionTable &actions() {
  static const ActionTable none = {nullptr, nullptr, 0};
  return none;
}

namespace {
constexpr Names kNames[] = {{BRIDGE_BOARD, "sketch", ""}};
constexpr auto kBoardRecord PROGMEM = packRecords(kNames, Count<tableSize(kNames, 1)>::type());
}  // namespace

__attribute__((weak)) const uint8_t *boardRecord() { return kBoardRecord.items; }

namespace {

uint32_t hash;

uint32_t fnv1a(const uint8_t *from, const uint8_t *to, uint32_t state) {
  for (; from != to; from++) state = (state ^ pgm_read_byte(from)) * 16777619UL;
  return state;
}

// Puts values of a type in the order of unsigned numbers: signed ones by turning their sign bit over, floats too, and
// negative floats from the largest magnitude up. NaN lands beyond both infinities.
Bits ordered(Bits value, uint8_t type) {
  constexpr Bits kSign = 0x80000000;
  if (type == kF32) {
    if (value == kSign) value = 0;  // -0.0 is 0
    return value & kSign ? ~value : value ^ kSign;
  }
  const bool isSigned = type == kI8 || type == kI16 || type == kI32;
  return isSigned ? value ^ kSign : value;
}

}  // namespace

uint32_t schemaHash() { return hash; }

void computeSchemaHash() {
  hash = fnv1a(channels().records, Channel(channels().count).record, 2166136261UL);
  hash = fnv1a(actions().records, actionRecord(actions().count), hash);
}

const uint8_t *skipRecord(const uint8_t *record, uint8_t headSize) {
  record += headSize;
  record += pgm_read_byte(record) + 1;
  return record + pgm_read_byte(record) + 1;
}

const uint8_t *skipAction(const uint8_t *record) {
  const uint8_t count = pgm_read_byte(record + kActionArguments);
  return argumentRecord(record, count);
}

const uint8_t *actionRecord(uint8_t index) {
  const uint8_t *record = actions().records;
  while (index--) record = skipAction(record);
  return record;
}

const uint8_t *argumentRecord(const uint8_t *action, uint8_t position) {
  const uint8_t *record = skipRecord(action, kActionHead);
  while (position--) record = skipRecord(record, kArgumentHead);
  return record;
}

Bits loadValue(const uint8_t *bytes, uint8_t type) {
  Bits value = 0;
  memcpy(&value, bytes, sizeOf(type));
  if (type == kI8) value = int32_t(int8_t(value));
  if (type == kI16) value = int32_t(int16_t(value));
  return value;
}

bool fits(Bits value, uint8_t type, const uint8_t *limits) {
  const Bits least = ordered(pgm_read_dword(limits), type), most = ordered(pgm_read_dword(limits + 4), type);
  value = ordered(value, type);
  return least <= value && value <= most;
}

Channel::Channel(uint8_t atIndex) : record(channels().records), output(channels().outputs), index(0) {
  while (index < atIndex) next();
}

void Channel::next() {
  if (flags() & kWritable) output++;
  record = skipRecord(record, kChannelHead);
  index++;
}

Bits Channel::value() const {
  if (flags() & kWritable) return output->value;
  return Read(pgm_read_ptr(&channels().access[index].read))();
}

void Channel::write(Bits value) const { Write(pgm_read_ptr(&channels().access[index].write))(value); }

void Channel::makeSafe() const {
  output->holdMs = 0;
  if (!(flags() & kHasSafe)) return;
  const Bits safe = pgm_read_dword(record + kChannelSafe);
  write(safe);
  output->value = safe;
}

}  // namespace bridging
