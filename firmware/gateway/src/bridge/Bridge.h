// Makes a sketch's channels and actions available to the gateway over a serial port.
//
//   #include "src/bridge/Bridge.h"
//
//   Bridge bridge(Serial);
//
//   float temperature() { return analogRead(A0) * 0.48828125f - 50.0f; }
//   void setLed(bool on) { digitalWrite(LED_BUILTIN, on); }
//
//   BRIDGE_CHANNELS(
//     READING("temperature", "degC", temperature),
//     OUTPUT_("led", "", setLed, SAFE(false)),
//   );
//
//   void setup() { pinMode(LED_BUILTIN, OUTPUT); bridge.begin(250000); }
//   void loop()  { bridge.poll(); }
#pragma once
#include "Declare.h"
#include "Session.h"

// To be made once, as a global.
class Bridge {
 public:
  template <class Port>
  explicit Bridge(Port &port)
      : session(port), openPort(&open<Port>) {}

  // Applies the safe values, opens the port and begins to answer. Pin modes are set before it.
  void begin(uint32_t baud);

  // Answers what has come and does what is due. It also runs within every delay(), by way of yield().
  void poll() { session.poll(); }

  // Runs after the outputs went to their safe values: because the host fell silent, or asked for it.
  void onSafe(void (*function)()) { session.onSafe = function; }

  // How long the host may be silent, in ms: 2000 unless set, 0 for as long as it asks. It may ask for less, never more.
  void failsafeAfter(uint16_t ms) { session.failsafeMs = ms; }

  // In the function of an output or an action: it did not do what it was asked for. Codes are 64 to 255.
  void refuse(uint8_t code) { session.refusal = code < 64 ? 64 : code; }

  // A line in the board's log, at most 54 bytes: bridge.log(F("pump primed")). Never waits: false if there was no
  // room, or if the function of a reading asked for it.
  bool log(const __FlashStringHelper *text) { return session.log(reinterpret_cast<const char *>(text)); }

  // Longest time between two polls since the reset.
  uint32_t loopMaxUs() const { return session.loopMaxUs; }

 private:
  // Returns the port's HELLO flags.
  template <class Port> static uint8_t open(Stream &port, uint32_t baud) {
    static_cast<Port &>(port).begin(baud);
    return bridging::IsNativeUsb<Port>::value ? bridging::kNativeUsb : 0;
  }

  bridging::Session session;
  uint8_t (*openPort)(Stream &port, uint32_t baud);
};
