#include "Record.h"

#include "Framing.h"
#include "Tables.h"

namespace bridging {

BRIDGE_NOINIT Record record;

uint16_t Record::checksum() const { return crc16(this, offsetof(Record, crc)); }

void Record::seal() {
  schema = schemaHash();  // a sketch with other channels does not know what these ids did
  crc = checksum();
}

bool Record::isSound() const { return schema == schemaHash() && crc == checksum(); }

void Record::clear(bool latchedBySafe) {
  memset(this, 0, sizeof *this);
  latch(latchedBySafe);
}

void Record::adopt(uint32_t newEpoch) {
  if (newEpoch == epoch) return;
  epoch = newEpoch;
  refuse(0, 0);
}

void Record::start(uint32_t id) {
  started = id;
  code = 0;
  result = 0;
  seal();
}

void Record::finish(uint8_t withCode, uint32_t withResult) {
  done = started;
  code = withCode;
  result = withResult;
  seal();
}

void Record::refuse(uint32_t id, uint8_t withCode) {
  started = id;
  finish(withCode, 0);
}

void Record::latch(bool bySafe) {
  latched = bySafe;
  seal();
}

void Record::countReset() {
  resets++;
  seal();
}

}  // namespace bridging
