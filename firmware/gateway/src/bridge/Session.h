// The board's side of the protocol: one answer to one request, and what happens with time.
//
// Each request has one function, which writes its answer into `out` or returns the error to answer with. Functions of
// the sketch run before anything is written, so that they may log; readings are the exception (see `filling`).
#pragma once
#include "Messages.h"
#include "Tables.h"

namespace bridging {

class Session {
 public:
  explicit Session(Stream &port) : port(port) {}

  void begin(uint8_t portFlags);      // the port is open and the outputs are safe
  void poll();                        // every frame that waits in the port, then what is due
  bool log(const char *flashText);    // false: no room, or a reading's function asked; the host sees a gap

  void (*onSafe)() = nullptr;
  uint32_t loopMaxUs = 0;      // longest time between two polls
  uint16_t failsafeMs = 2000;  // longest silence of the host; the host may ask for less
  uint8_t refusal = 0;         // of the command under way, set by its handler

 private:
  enum Cause : uint8_t { kSilence = 1, kAskedFor = 2 };

  // Frames.
  void handleFrame();
  Error admit();
  Error answer();
  uint8_t type() const { return decoder.frame[0]; }
  uint8_t session() const { return decoder.frame[2]; }
  const uint8_t *payload() const { return decoder.frame + kHeaderSize; }
  uint8_t payloadSize() const { return decoder.size - kHeaderSize; }

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
  uint32_t commandId() const;
  uint8_t commandIndex() const;
  uint16_t commandHoldMs() const;

  // What is due.
  void measureLoop();
  void repeatBoot(uint32_t nowMs);
  void watchLink(uint32_t nowMs);
  void sendTelemetry(uint32_t nowMs);

  void sendEvent(uint8_t eventType, uint8_t ofSession);
  void sendBoot();
  bool hasRoom() const;
  void putSample(uint8_t group);
  void goSafe(uint8_t cause);
  void mendRecord();
  uint8_t helloFlags();
  uint8_t statusFlags() const;

  Stream &port;
  uint32_t id = 0;             // of the session; 0 = none
  uint32_t epoch = 0;          // of the host's journal
  uint32_t heardAtMs = 0;      // last frame of the session
  uint32_t polledAtUs = 0;
  uint32_t beganAtMs = 0;
  uint16_t silenceMs = 0;      // allowed in this session
  uint16_t received = 0;       // sound frames
  uint16_t overlongTold = 0;   // of decoder.overlong, by the last POLL
  uint8_t portFlags = 0;       // HELLO flags that stay until the next reset
  uint8_t latched = 0;         // causes of the failsafe
  uint8_t happened = 0;        // status flags since the last POLL
  uint8_t detail = 0;          // of the error under way
  uint8_t eventSequence = 0;
  uint8_t lastGroup = 0;
  bool isPolling = false;      // poll() is not entered again from a handler's delay()
  bool isFilling = false;      // readings are being written into `out`
  bool isBootDue = true;

  struct Lease {               // of a stream
    uint32_t beganMs, sampleDueMs;
    uint16_t durationMs;       // 0 = no stream
    uint16_t periodMs;
    uint8_t group;
  } lease = {};

  Decoder decoder;
  Outgoing out;
};

}  // namespace bridging
