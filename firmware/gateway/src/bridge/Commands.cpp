// COMMAND: writes an output or runs an action, at most once.
#include "Record.h"
#include "Outputs.h"
#include "Session.h"

namespace bridging {

namespace {

constexpr uint8_t kTarget = 4, kHold = 5, kValue = 7;  // offsets behind the id
constexpr uint8_t kActionBit = 0x80;                   // of the target

// A cached answer is cut to what its request's target returns, so that its length is what the host expects.
uint8_t resultSize(uint8_t target) {
  const uint8_t index = target & ~kActionBit;
  if (!(target & kActionBit) || index >= actions().count) return 0;
  return sizeOf(pgm_read_byte(actionRecord(index) + kActionResult));
}

}  // namespace

uint32_t Session::commandId() const { return get32(payload()); }
uint8_t Session::commandIndex() const { return payload()[kTarget] & ~kActionBit; }
uint16_t Session::commandHoldMs() const { return get16(payload() + kHold); }

// The id is looked at before all that may be wrong with the command: what was done once is answered from the record,
// whatever the repetition says. A refusal is final too, and recorded like a result.
Error Session::command() {
  mendRecord();
  if (!record.epoch || record.epoch != epoch) return kBadEpoch;
  const uint32_t command = commandId();
  if (!command || command < record.started) return kStaleId;
  Outcome outcome = kExecuted;
  const uint8_t target = payload()[kTarget];
  if (command == record.started) {
    outcome = command == record.done ? kDuplicate : kInterrupted;
  } else if (const Error refused = target & kActionBit ? runAction() : writeOutput()) {
    record.refuse(command, refused);
    return refused;
  }
  out.put32(command);
  out.put8(outcome);
  out.put8(record.code);
  out.put32(micros());
  out.put(&record.result, resultSize(target));
  return kNoError;
}

Error Session::writeOutput() {
  const uint8_t index = commandIndex();
  const uint16_t holdMs = commandHoldMs();
  if (index >= channels().count) {
    detail = index;
    return kBadTarget;
  }
  const Channel channel(index);
  const uint8_t flags = channel.flags(), type = channel.type();
  if (!(flags & kWritable)) return kReadOnly;
  if (payloadSize() != kValue + sizeOf(type)) return kBadLength;
  const Bits value = loadValue(payload() + kValue, type);
  if (!fits(value, type, channel.limits())) return kOutOfRange;
  if (holdMs && !(flags & kHasSafe)) return kUnsupported;
  if (!holdMs && flags & kNeedsHold) return kHoldRequired;
  if (latched) return kInFailsafe;

  refusal = 0;
  record.start(commandId());
  channel.write(value);
  if (!refusal) keepOutput(channel, value, holdMs);
  record.finish(refusal, 0);
  return kNoError;
}

Error Session::runAction() {
  const uint8_t index = commandIndex();
  if (index >= actions().count) {
    detail = index | kActionBit;
    return kBadTarget;
  }
  const uint8_t *action = actionRecord(index);
  const uint8_t count = pgm_read_byte(action + kActionArguments);
  if (const Error error = checkArguments(skipRecord(action, kActionHead), count)) return error;
  if (commandHoldMs()) return kUnsupported;
  if (latched) return kInFailsafe;

  refusal = 0;
  record.start(commandId());
  const Call call = Call(pgm_read_ptr(&actions().calls[index]));
  const Bits result = call(payload() + kValue);
  record.finish(refusal, result);
  return kNoError;
}

// A wrong length is told before a value out of range, so all arguments are walked. One that is missing reads what an
// earlier frame left in the buffer, and its length is then refused.
Error Session::checkArguments(const uint8_t *argument, uint8_t count) {
  uint8_t offset = kValue;
  Error error = kNoError;
  for (uint8_t i = 0; i < count; i++) {
    const uint8_t type = pgm_read_byte(argument + kArgumentType);
    if (!error && !fits(loadValue(payload() + offset, type), type, argument + kArgumentLimits)) {
      error = kOutOfRange;
      detail = i;
    }
    offset += sizeOf(type);
    argument = skipRecord(argument, kArgumentHead);
  }
  if (offset == payloadSize()) return error;
  detail = 0;
  return kBadLength;
}

}  // namespace bridging
