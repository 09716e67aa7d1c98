"""How long to wait for a reply: the retransmission timeout of one link. Pure; owned by its session."""

RTO_INITIAL_S, RTO_MIN_S, RTO_MAX_S = 0.3, 0.03, 1.0
RTO_SLACK_S = 0.005  # least margin over the smoothed round trip


class RoundTrip:
    """Retransmission timeout after Jacobson and Karn (RFC 6298), with the link's own clamps."""

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self._variance_s = 0.0
        self._backoff = 1

    def measured(self, round_trip_s: float) -> None:
        """An exchange whose request was sent once."""
        if self.smoothed_s is None:
            self.smoothed_s, self._variance_s = round_trip_s, round_trip_s / 2
        else:
            self._variance_s += (abs(self.smoothed_s - round_trip_s) - self._variance_s) / 4
            self.smoothed_s += (round_trip_s - self.smoothed_s) / 8
        self._backoff = 1

    def lost(self) -> None:
        """A copy of a request went unanswered."""
        self._backoff = min(2 * self._backoff, 64)

    def timeout_s(self, wire_s: float) -> float:
        """How long to wait for a reply to a request whose bytes and reply take `wire_s` on the wire."""
        base = RTO_INITIAL_S
        if self.smoothed_s is not None:
            base = self.smoothed_s + max(4 * self._variance_s, RTO_SLACK_S) + wire_s
        return min(max(base, RTO_MIN_S) * self._backoff, RTO_MAX_S)
