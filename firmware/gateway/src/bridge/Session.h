// The board's side of the protocol: one answer to one request, and what happens with time.
//
// Each request has one function, which writes its answer into `out` or returns the error to answer with. Functions of
// the sketch run before anything is written, so that they may log; readings are the exception (see `isFilling`).
#pragma once
#include "Framing.h"
#include "Messages.h"
#include "Timer.h"

namespace bridging {

// Lives in a global Bridge: all that the constructor does not set begins at 0.
class Session {
 public:
  explicit Session(Stream &port) : port(port), failsafeMs(2000), isMute(true) {}

  void begin(uint8_t portFlags);    // the port is open and the outputs are safe
  void poll();                      // every frame that waits in the port, then what is due
  bool log(const char *flashText);  // false: no room, or a reading's function asked; the host sees a gap

  Stream &port;
  void (*onSafe)();
  uint16_t failsafeMs;              // longest silence of the host; the host may ask for less
  uint8_t refusal;                  // of the command under way, set by its handler

  uint32_t loopMaxUs;               // longest time between two polls

 private:
  // Frames.
  void handleFrame();
  Error admit();
  Error answer();
  uint8_t type() const { return decoder.frame()[0]; }
  uint8_t session() const { return decoder.frame()[2]; }
  const uint8_t *payload() const { return decoder.frame() + kHeaderSize; }

  // Requests, in the order of their numbers.
  Error hello();
  Error describe();
  Error readGroup();
  Error command();
  Error adoptEpoch();
  Error safe();
  Error clear();
  Error ping();
  Error stream();
  Error stats();
  Error setId();

  // Commands (Commands.cpp).
  Error writeOutput();
  Error runAction();
  Error checkArguments(const uint8_t *argument, uint8_t count);
  Error badTarget(uint8_t target);

  // What is due.
  void measureLoop();
  void watchLink();
  void sendTelemetry();

  void sendBoot();
  bool hasRoom();
  void putClock();
  uint8_t putSample(uint8_t group);
  void goSafe(uint8_t causeFlags);
  void mendRecord();
  uint8_t helloFlags();
  void setFlag(uint8_t flag, bool isSet);
  uint8_t statusFlags() const;

  uint8_t id;              // of the session; 0 = none
  uint8_t flags;           // as HELLO tells them
  uint8_t happened;        // status flags since the last POLL
  uint8_t overlongTold;    // the decoder's count, by the last POLL
  uint8_t detail;          // of the error under way
  uint8_t eventSequence;
  bool isPolling;          // poll() is not entered again from a handler's delay()
  bool isMute;             // no LOG now: before begin(), and while readings are being written into `out`
  uint32_t polledAtUs;

  Timer silence;           // of the host; before the first HELLO, until BOOT is repeated
  Timer lease, beat;       // of a stream
  uint8_t streamedGroup;   // as asked for
  uint8_t nextGroup;       // of the next beat

  Decoder decoder;
  Encoder out;
};

}  // namespace bridging
