#include "Session.h"

#include "Groups.h"
#include "Identity.h"
#include "Outputs.h"
#include "Record.h"

namespace bridging {

namespace {

constexpr uint8_t kCommandMinSize = 7;    // a COMMAND's value may be empty
constexpr uint16_t kBootRepeatMs = 200;   // in case the end of a bootloader garbled the first
constexpr uint32_t kSlowLoopUs = 50000;
constexpr uint8_t kLeaseUnitMs = 100;

const uint8_t kPayloadSizes[] PROGMEM = {16, 3, 1, kCommandMinSize, 4, 0, 0, 4, 4, 0, 4};  // HELLO to SETID

}  // namespace

// ---- what happens with time --------------------------------------------------------------------------------------

void Session::begin(uint8_t flags) {
  computeSchemaHash();
  portFlags = flags;
  if (record.isSound()) {
    record.countReset();
  } else {
    record.clear(false);
    portFlags |= kRecordWasLost;
  }
  if (record.latched) latched = kAskedFor;
  lastGroup = countGroups() - 1;
  polledAtUs = micros();
  beganAtMs = millis();
  sendBoot();
}

void Session::poll() {
  if (isPolling) return;
  isPolling = true;
  measureLoop();
  for (int waiting = port.available(); waiting > 0; waiting--)
    if (decoder.take(port.read())) handleFrame();
  const uint32_t nowMs = millis();
  repeatBoot(nowMs);
  if (lapseHolds(nowMs)) happened |= kHoldLapsed;
  watchLink(nowMs);
  sendTelemetry(nowMs);
  isPolling = false;
}

void Session::measureLoop() {
  const uint32_t nowUs = micros(), gapUs = nowUs - polledAtUs;
  polledAtUs = nowUs;
  if (gapUs > loopMaxUs) loopMaxUs = gapUs;
  if (gapUs > kSlowLoopUs) happened |= kSlowLoop;
}

void Session::repeatBoot(uint32_t nowMs) {
  if (!isBootDue || nowMs - beganAtMs < kBootRepeatMs) return;
  isBootDue = false;
  sendBoot();
}

// Silence is acted on once, then the latch holds. A board that nobody ever spoke to misses nobody.
void Session::watchLink(uint32_t nowMs) {
  if (id && !latched && nowMs - heardAtMs >= silenceMs) goSafe(kSilence);
}

void Session::goSafe(uint8_t cause) {
  latched |= cause;
  makeOutputsSafe();
  if (onSafe) onSafe();
}

void Session::sendTelemetry(uint32_t nowMs) {
  if (!lease.durationMs) return;
  if (nowMs - lease.beganMs >= lease.durationMs) {
    lease.durationMs = 0;
    return;
  }
  if (int32_t(nowMs - lease.sampleDueMs) < 0) return;
  lease.sampleDueMs += lease.periodMs;
  if (int32_t(nowMs - lease.sampleDueMs) >= 0) lease.sampleDueMs = nowMs + lease.periodMs;  // missed is missed
  if (hasRoom()) putSample(lease.group);
  sendEvent(kTelemetry, id);
}

// ---- events ------------------------------------------------------------------------------------------------------

// An event never makes the sketch wait: without room for it only its number is used up, so the host sees the gap.
// A port that cannot tell its room is written to all the same; it is never streamed to.
bool Session::hasRoom() const { return !(portFlags & kCanStream) || port.availableForWrite() >= kMaxWire; }

void Session::sendEvent(uint8_t eventType, uint8_t ofSession) {
  const uint8_t sequence = eventSequence++;
  if (hasRoom()) out.send(port, eventType, sequence, ofSession);
  out.clear();
}

void Session::sendBoot() {
  out.put8(kProtocolVersion);
  out.put8(helloFlags());
  out.put32(millis());
  sendEvent(kBoot, 0);
}

bool Session::log(const char *flashText) {
  if (isFilling || !hasRoom()) {
    eventSequence++;
    return false;
  }
  const size_t length = strlen_P(flashText);
  out.putFlash(flashText, length < kMaxPayload ? length : kMaxPayload);
  sendEvent(kLog, id);
  return true;
}

// ---- frames ------------------------------------------------------------------------------------------------------

void Session::handleFrame() {
  const uint8_t sequence = decoder.frame[1];
  uint8_t replyType = type() | kReply;
  received++;
  detail = 0;
  Error error = admit();
  if (!error) error = answer();
  if (error) {
    replyType = kError;
    out.clear();
    out.put8(type());
    out.put8(error);
    out.put8(detail);
  }
  out.send(port, replyType, sequence, session());
}

// Known type, then the session, then the length. Every frame of the session shows that the host is alive.
Error Session::admit() {
  const bool isOurs = id && session() == uint8_t(id);
  const uint8_t index = type() - 1;
  const bool isKnown = index < sizeof kPayloadSizes;
  const bool isOpen = type() == kHello || type() == kSafe;
  if (isOurs && !isOpen) heardAtMs = millis();
  if (!isKnown) return kBadType;
  if (!isOurs && !isOpen) return kNoSession;
  const uint8_t size = pgm_read_byte(kPayloadSizes + index);
  if (payloadSize() < size || (payloadSize() > size && type() != kCommand)) return kBadLength;
  return kNoError;
}

Error Session::answer() {
  switch (type()) {
    case kHello: return hello();
    case kDescribe: return describe();
    case kPoll: return readGroup();
    case kCommand: return command();
    case kEpoch: return adoptEpoch();
    case kSafe: return safe();
    case kClear: return clear();
    case kPing: return ping();
    case kStream: return stream();
    case kStats: return stats();
    default: return setId();
  }
}

// ---- the session -------------------------------------------------------------------------------------------------

// A USB port has no room until its other end is open, so a port may show later that it can tell.
uint8_t Session::helloFlags() {
  if (port.availableForWrite()) portFlags |= kCanStream;
  uint8_t flags = portFlags;
  if (epoch && epoch == record.epoch) flags |= kEpochMatches;
  if (latched) flags |= kLatched;
  if (latched & kAskedFor) flags |= kLatchedBySafe;
  return flags;
}

// Opens a session. It reports the record and changes nothing in it: what became of the host's last command is the
// host's to find out first.
Error Session::hello() {
  const uint8_t *request = payload();
  const uint32_t offered = get32(request + 4);
  if (!session() || session() != uint8_t(offered)) return kNoSession;
  if (kProtocolVersion < request[0] || kProtocolVersion > request[1]) {
    detail = kProtocolVersion;
    return kBadVersion;
  }
  const uint16_t askedMs = get16(request + 2);
  silenceMs = askedMs && askedMs < failsafeMs ? askedMs : failsafeMs;
  id = offered;
  epoch = get32(request + 8);
  heardAtMs = millis();
  isBootDue = false;
  lease.durationMs = 0;
  mendRecord();

  out.put8(kProtocolVersion);
  out.put8(helloFlags());
  out.put8(kMaxPayload);
  out.put8(channels().count);
  out.put8(actions().count);
  out.put32(id);
  out.put(&record.epoch, Record::kReportSize);
  out.put32(millis());
  out.put32(schemaHash());
  return kNoError;
}

// A record that somebody wrote over is no record: without an epoch no command runs until the host has settled its own.
void Session::mendRecord() {
  if (!record.isSound()) record.clear(latched & kAskedFor);
}

Error Session::adoptEpoch() {
  epoch = get32(payload());
  record.adopt(epoch);
  out.put32(epoch);
  return kNoError;
}

Error Session::safe() {
  record.latch(true);
  goSafe(kAskedFor);
  return kNoError;
}

Error Session::clear() {
  record.latch(false);
  latched = 0;
  return kNoError;
}

Error Session::ping() {
  out.put(payload(), 4);
  out.put32(micros());
  out.put32(millis());
  return kNoError;
}

Error Session::stats() {
  out.put16(received);
  out.put16(decoder.rejected);
  out.put16(decoder.overlong);
  out.put32(loopMaxUs);
  out.put16(freeRam());
  return kNoError;
}

Error Session::setId() {
  const uint32_t offered = get32(payload());
  if (!offered) return kOutOfRange;
  if (!boardId()) giveBoardId(offered);
  out.put32(boardId());
  return kNoError;
}

// ---- readings ----------------------------------------------------------------------------------------------------

uint8_t Session::statusFlags() const {
  uint8_t flags = happened;
  if (decoder.overlong != overlongTold) flags |= kOverrunSeen;
  if (latched) flags |= kFailsafe;
  if (latched & kAskedFor) flags |= kFailsafeBySafe;
  if (record.started != record.done) flags |= kInterruptedPresent;
  return flags;
}

void Session::putSample(uint8_t group) {
  out.put8(group);
  out.put8(statusFlags());
  out.put32(micros());
  out.put32(record.done);
  out.put8(decoder.rejected);
  isFilling = true;
  Groups groups;
  for (Channel channel; channel.exists(); channel.next()) {
    const uint8_t size = sizeOf(channel.type());
    if (groups.groupOfNext(size) != group) continue;
    const Bits value = channel.value();
    out.put(&value, size);
  }
  isFilling = false;
}

Error Session::readGroup() {
  detail = payload()[0];
  if (detail > lastGroup) return kBadTarget;
  putSample(detail);
  happened = 0;
  overlongTold = decoder.overlong;
  return kNoError;
}

Error Session::stream() {
  const uint8_t group = payload()[0];
  const uint16_t periodMs = get16(payload() + 1);
  const uint16_t durationMs = payload()[3] * kLeaseUnitMs;
  if (group > lastGroup) {
    detail = group;
    return kBadTarget;
  }
  if (!(portFlags & kCanStream)) return kUnsupported;
  if (durationMs && !periodMs) return kOutOfRange;
  const bool isRenewal = lease.durationMs && lease.group == group && lease.periodMs == periodMs;
  lease.beganMs = millis();
  if (!isRenewal) lease.sampleDueMs = lease.beganMs + periodMs;
  lease.durationMs = durationMs;
  lease.periodMs = periodMs;
  lease.group = group;
  out.put(payload(), 4);
  return kNoError;
}

}  // namespace bridging
