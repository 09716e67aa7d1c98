"""The serial link protocol: framing, messages and session. Pure: no I/O, no clock. `PROTOCOL.md` is its page."""
