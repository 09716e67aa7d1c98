#include "Session.h"

#include "Groups.h"
#include "Identity.h"
#include "Outputs.h"
#include "Record.h"

namespace bridging {

namespace {

constexpr uint8_t kCommandMinSize = 7;   // a COMMAND's value may be empty
constexpr uint16_t kBootRepeatMs = 200;  // in case the end of a bootloader garbled the first
constexpr uint32_t kSlowLoopUs = 50000;
constexpr uint8_t kLeaseUnitMs = 100;

const uint8_t kPayloadSizes[] PROGMEM = {16, 3, 1, kCommandMinSize, 4, 0, 0, 4, 4, 0, 4};  // HELLO to SETID

}  // namespace

// ---- what happens with time --------------------------------------------------------------------------------------

void Session::begin(uint8_t portFlags) {
  flags = portFlags;
  if (record.isSound()) {
    record.countReset();
  } else {
    record.clear(false);
    flags |= kRecordWasLost;
  }
  if (record.latched) flags |= kLatched | kLatchedBySafe;
  polledAtUs = micros();
  out.clear();
  isMute = false;
  sendBoot();
  silence.start(kBootRepeatMs);
}

void Session::poll() {
  if (isPolling) return;
  isPolling = true;
  measureLoop();
  for (int waiting = port.available(); waiting > 0; waiting--)
    if (decoder.take(port.read())) handleFrame();
  if (lapseHolds()) happened |= kHoldLapsed;
  if (silence.isOver()) watchLink();
  if (lease.isRunning()) sendTelemetry();
  isPolling = false;
}

void Session::measureLoop() {
  const uint32_t nowUs = micros(), gapUs = nowUs - polledAtUs;
  polledAtUs = nowUs;
  if (gapUs > loopMaxUs) loopMaxUs = gapUs;
  if (gapUs > kSlowLoopUs) happened |= kSlowLoop;
}

// A board that nobody ever spoke to misses nobody: it says BOOT once more. Otherwise silence is acted on once, for the
// latch then holds until CLEAR.
void Session::watchLink() {
  if (!id) {
    silence.stop();
    sendBoot();
    return;
  }
  silence.start(silence.lengthMs);
  if (!(flags & kLatched)) goSafe(kLatched);
}

void Session::goSafe(uint8_t causeFlags) {
  flags |= causeFlags;
  makeOutputsSafe();
  if (onSafe) onSafe();
}

// Every beat uses up a number, those that came and went while the sketch was busy too. The room is looked at behind the
// sampling, so that the port empties meanwhile.
void Session::sendTelemetry() {
  if (lease.isOver()) lease.stop();
  if (!lease.isRunning() || !beat.isOver()) return;
  uint8_t sequence;
  do {
    beat.beganMs += beat.lengthMs;
    sequence = eventSequence++;
  } while (beat.isOver());
  const uint8_t lastGroup = putSample(nextGroup);
  if (!hasRoom()) {
    out.clear();
    return;
  }
  out.send(port, kTelemetry, sequence, id);
  if (streamedGroup == kAllGroups) nextGroup = nextGroup == lastGroup ? 0 : nextGroup + 1;
}

// ---- events ------------------------------------------------------------------------------------------------------

// An event never makes the sketch wait: without room for it only its number is used up, so the host sees the gap.
// A port that never tells of any is written to all the same, but not streamed to. (One that is USB has none until its
// other end is open.)
bool Session::hasRoom() {
  const int room = port.availableForWrite();
  if (room) flags |= kCanStream;
  return !(flags & kCanStream) || room >= kMaxWire;
}

uint8_t Session::helloFlags() {
  hasRoom();  // which may find out that the port can stream
  return flags;
}

void Session::sendBoot() {
  out.put8(kProtocolVersion);
  out.put8(helloFlags());
  out.put32(millis());
  out.send(port, kBoot, eventSequence++, 0);
}

bool Session::log(const char *flashText) {
  const uint8_t sequence = eventSequence++;
  if (isMute || !hasRoom()) return false;
  const size_t length = strlen_P(flashText);
  out.putFlash(flashText, length < kMaxPayload ? length : kMaxPayload);
  out.send(port, kLog, sequence, id);
  return true;
}

// ---- frames ------------------------------------------------------------------------------------------------------

void Session::handleFrame() {
  detail = 0;
  uint8_t replyType = type() | kReply;
  mendRecord();
  Error error = admit();
  if (!error) error = answer();
  if (error) {
    replyType = kError;
    out.clear();
    out.put8(type());
    out.put8(error);
    out.put8(detail);
  }
  out.send(port, replyType, decoder.frame()[1], session());
}

// Known type, then the session, then the length. Every frame of the session shows that the host is alive; HELLO opens
// one, and SAFE is for everybody.
Error Session::admit() {
  const uint8_t index = type() - 1;
  const bool isKnown = index < sizeof kPayloadSizes;
  if (type() != kHello && type() != kSafe) {
    const bool isOurs = id && session() == id;
    if (isOurs) silence.start(silence.lengthMs);
    if (isKnown && !isOurs) return kNoSession;
  }
  if (!isKnown) return kBadType;
  const uint8_t size = pgm_read_byte(kPayloadSizes + index), actual = decoder.payloadSize();
  return actual == size || (type() == kCommand && actual > size) ? kNoError : kBadLength;
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

// Opens a session. It reports the record and changes nothing in it: what became of the host's last command is the
// host's to find out first.
Error Session::hello() {
  const uint8_t *request = payload();
  if (!session() || session() != request[4]) return kNoSession;
  if (kProtocolVersion < request[0] || kProtocolVersion > request[1]) {
    detail = kProtocolVersion;
    return kBadVersion;
  }
  id = session();
  setFlag(kEpochMatches, record.epoch && record.epoch == get32(request + 8));
  const uint16_t askedMs = get16(request + 2);
  silence.start(askedMs && (!failsafeMs || askedMs < failsafeMs) ? askedMs : failsafeMs);
  lease.stop();

  out.put8(kProtocolVersion);
  out.put8(helloFlags());
  out.put8(kMaxPayload);
  out.put8(channelCount());
  out.put8(actionCount());
  out.put(request + 4, 4);
  out.put(&record.epoch, Record::kReportSize);
  out.put32(millis());
  out.put32(schemaHash());
  return kNoError;
}

// A record that somebody wrote over is no record: without an epoch no command runs until the host has settled its own.
// Looked at before every request, so that none of them makes it sound again by sealing it.
void Session::mendRecord() {
  if (record.isSound()) return;
  record.clear(flags & kLatchedBySafe);
  setFlag(kEpochMatches, false);
}

void Session::setFlag(uint8_t flag, bool isSet) {
  flags &= ~flag;
  if (isSet) flags |= flag;
}

Error Session::adoptEpoch() {
  record.adopt(get32(payload()));
  setFlag(kEpochMatches, record.epoch);
  out.put(payload(), 4);
  return kNoError;
}

Error Session::safe() {
  record.latch(true);
  goSafe(kLatched | kLatchedBySafe);
  return kNoError;
}

Error Session::clear() {
  record.latch(false);
  setFlag(kLatched | kLatchedBySafe, false);
  return kNoError;
}

void Session::putClock() { out.put32(micros()); }

Error Session::ping() {
  out.put(payload(), 4);
  putClock();
  out.put32(millis());
  return kNoError;
}

Error Session::stats() {
  const uint16_t freeBytes = freeRam();
  out.put(&decoder.count, sizeof decoder.count);
  out.put(&loopMaxUs, sizeof loopMaxUs);
  out.put(&freeBytes, sizeof freeBytes);
  return kNoError;
}

Error Session::setId() {
  const uint32_t offered = get32(payload());
  if (!offered) return kOutOfRange;
  out.put32(boardId(offered));
  return kNoError;
}

// ---- readings ----------------------------------------------------------------------------------------------------

uint8_t Session::statusFlags() const {
  uint8_t status = happened;
  if (uint8_t(decoder.count.overlong) != overlongTold) status |= kOverrunSeen;
  if (flags & kLatched) status |= kFailsafe;
  if (flags & kLatchedBySafe) status |= kFailsafeBySafe;
  if (record.started != record.done) status |= kInterruptedPresent;
  return status;
}

// Gives the number of the last group.
uint8_t Session::putSample(uint8_t group) {
  out.put8(group);
  out.put8(statusFlags());
  putClock();
  out.put(&record.done, sizeof record.done);
  out.put8(decoder.count.rejected);
  isMute = true;
  Groups groups;
  for (Channel channel; channel.exists(); channel.next()) {
    const uint8_t size = sizeOf(channel.type());
    if (groups.groupOfNext(size) != group) continue;
    const Bits value = channel.value();
    out.put(&value, size);
  }
  isMute = false;
  return groups.last();
}

Error Session::readGroup() {
  detail = payload()[0];
  if (detail > findLastGroup()) return kBadTarget;
  putSample(detail);
  happened = 0;
  overlongTold = decoder.count.overlong;
  return kNoError;
}

Error Session::stream() {
  const uint8_t group = payload()[0];
  const uint16_t periodMs = get16(payload() + 1);
  const uint8_t leaseUnits = payload()[3];
  if (group != kAllGroups && group > findLastGroup()) return badTarget(group);
  if (!(flags & kCanStream)) return kUnsupported;
  if (leaseUnits && !periodMs) return kOutOfRange;
  const bool isRenewal = lease.isRunning() && streamedGroup == group && beat.lengthMs == periodMs;
  if (!isRenewal) {
    beat.start(periodMs);
    nextGroup = group == kAllGroups ? 0 : group;
  }
  lease.start(leaseUnits * kLeaseUnitMs);
  streamedGroup = group;
  out.put(payload(), 4);
  return kNoError;
}

}  // namespace bridging
