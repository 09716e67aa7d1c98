// COMMAND: writes an output or runs an action, at most once.
#include "Record.h"
#include "Session.h"
#include "Tables.h"

namespace bridging {

namespace {

constexpr uint8_t kTarget = 4, kHold = 5, kValue = 7;  // offsets behind the id
constexpr uint8_t kActionBit = 0x80;                   // of the target

// A cached answer is cut to what its request's target returns, so that its length is what the host expects.
uint8_t resultSize(uint8_t target) {
  const uint8_t index = target & ~kActionBit;
  if (!(target & kActionBit) || index >= actionCount()) return 0;
  return sizeOf(pgm_read_byte(actionRecord(index) + kActionResult));
}

}  // namespace

Error Session::badTarget(uint8_t target) {
  detail = target;
  return kBadTarget;
}

// The id is looked at before all that may be wrong with the command: what was done once is answered from the record,
// whatever the repetition says. A refusal is final too, and recorded like a result.
Error Session::command() {
  if (!(flags & kEpochMatches)) return kBadEpoch;
  const uint32_t command = get32(payload());
  if (!command || command < record.started) return kStaleId;
  Outcome outcome = kExecuted;
  const uint8_t target = payload()[kTarget];
  if (command == record.started) {
    outcome = command == record.done ? kDuplicate : kInterrupted;
  } else if (const Error refused = target & kActionBit ? runAction() : writeOutput()) {
    record.refuse(command, refused);
    return refused;
  } else if (port.available()) {
    silence.start(silence.lengthMs);  // the host spoke while the handler ran, and was not heard
  }
  out.put(payload(), sizeof command);
  out.put8(outcome);
  out.put8(record.code);
  putClock();
  out.put(&record.result, resultSize(target));
  return kNoError;
}

Error Session::writeOutput() {
  const uint8_t index = payload()[kTarget];
  const uint16_t holdMs = get16(payload() + kHold);
  if (index >= channelCount()) return badTarget(index);
  const Channel channel(index);
  const uint8_t traits = channel.flags(), type = channel.type();
  if (!(traits & kWritable)) return kReadOnly;
  if (decoder.payloadSize() != kValue + sizeOf(type)) return kBadLength;
  if (!fits(payload() + kValue, type, channel.record + kChannelLimits)) return kOutOfRange;
  if (holdMs ? !(traits & kHasSafe) : traits & kNeedsHold) return holdMs ? kUnsupported : kHoldRequired;
  if (flags & kLatched) return kInFailsafe;

  Bits value = 0;
  memcpy(&value, payload() + kValue, sizeOf(type));
  record.start(get32(payload()));
  refusal = 0;
  channel.write(value);
  if (!refusal) {
    channel.output->value = value;
    channel.output->hold.start(holdMs);
  }
  record.finish(refusal, 0);
  return kNoError;
}

Error Session::runAction() {
  const uint8_t target = payload()[kTarget], index = target & ~kActionBit;
  if (index >= actionCount()) return badTarget(target);
  const uint8_t *action = actionRecord(index);
  if (const Error error = checkArguments(argumentRecord(action, 0), pgm_read_byte(action + kActionArguments)))
    return error;
  if (get16(payload() + kHold)) return kUnsupported;
  if (flags & kLatched) return kInFailsafe;

  record.start(get32(payload()));
  refusal = 0;
  const Bits result = Call(pgm_read_ptr(&actionCalls()[index]))(payload() + kValue);
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
    if (!error && !fits(payload() + offset, type, argument + kArgumentLimits)) {
      error = kOutOfRange;
      detail = i;
    }
    offset += sizeOf(type);
    argument = skipRecord(argument, kArgumentHead);
  }
  if (offset == decoder.payloadSize()) return error;
  detail = 0;
  return kBadLength;
}

}  // namespace bridging
