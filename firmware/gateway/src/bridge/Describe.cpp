// DESCRIBE: records go out as they lie in flash.
#include "Identity.h"
#include "Session.h"
#include "Tables.h"

namespace bridging {

namespace {

enum RecordKind : uint8_t { kBoardRecord, kChannelRecord, kActionRecord, kArgumentRecord };

void putRecord(Encoder &out, const uint8_t *record, uint8_t headSize) {
  out.putFlash(record, skipRecord(record, headSize) - record);
}

void putText(Encoder &out, const uint8_t *text) { out.putFlash(text, pgm_read_byte(text) + 1); }

void putDigit(Encoder &out, uint8_t digit) { out.put8(digit < 10 ? '0' + digit : 'a' - 10 + digit); }

void putBoard(Encoder &out) {
  const uint8_t *names = boardRecord();
  putRecord(out, names, 0);
  putText(out, skipRecord(names, 0));
  const uint32_t id = boardId();
  out.put8(id ? 2 * sizeof id : 0);
  if (!id) return;
  for (uint8_t i = sizeof id; i--;) {
    const uint8_t byte = reinterpret_cast<const uint8_t *>(&id)[i];
    putDigit(out, byte >> 4);
    putDigit(out, byte & 0x0F);
  }
}

}  // namespace

Error Session::describe() {
  const uint8_t kind = payload()[0], index = payload()[1], position = payload()[2];
  detail = index;
  out.put(payload(), 3);
  if (kind == kBoardRecord) {
    putBoard(out);
  } else if (kind == kChannelRecord) {
    if (index >= channelCount()) return kBadTarget;
    putRecord(out, Channel(index).record, kChannelHead);
  } else {
    if (kind > kArgumentRecord || index >= actionCount()) return kBadTarget;
    const uint8_t *record = actionRecord(index);
    if (kind == kActionRecord) {
      putRecord(out, record, kActionHead);
    } else {
      if (position >= pgm_read_byte(record + kActionArguments)) return kBadTarget;
      putRecord(out, argumentRecord(record, position), kArgumentHead);
    }
  }
  return kNoError;
}

}  // namespace bridging
