"""What a recording holds, in a few figures. Pure."""

from collections import Counter
from dataclasses import dataclass

from gateway.link.recording import Recording
from gateway.link.replay_script import spans
from gateway.tools.decoder import Decoder, Direction, Topic, schema_of


@dataclass(frozen=True, slots=True)
class Opening:
    """The port was open from one moment to another, in seconds after the beginning of the recording."""

    from_s: float
    until_s: float
    port: str


@dataclass(frozen=True, slots=True)
class Summary:
    """`lines` counts what a monitor would show, by topic; of exchanges both halves. `sketch` is None where the
    recording does not tell what the board offers."""

    duration_s: float
    bytes_sent: int
    bytes_received: int
    lines: dict[str, int]
    unanswered: int
    openings: tuple[Opening, ...]
    sketch: str | None


def summarize(recording: Recording) -> Summary:
    """Goes once through the recording."""
    traces = recording.traces
    begin_s, end_s = (traces[0].monotonic_s, traces[-1].monotonic_s) if traces else (0.0, 0.0)
    decoder = Decoder()
    decoder.schema = schema = schema_of(recording.description)
    lines, ways = Counter[str](), Counter[Direction]()
    for line in decoder.decode(traces):
        lines[line.topic] += 1
        if line.topic is Topic.POLLS and line.what == "POLL":
            ways[line.direction] += 1
    return Summary(
        duration_s=round(end_s - begin_s, 6),
        bytes_sent=sum(len(trace.data) for trace in traces if trace.kind == "sent"),
        bytes_received=sum(len(trace.data) for trace in traces if trace.kind == "received"),
        lines={topic.value: lines[topic] for topic in Topic},
        unanswered=max(0, ways[Direction.TO_BOARD] - ways[Direction.FROM_BOARD]),
        openings=tuple(
            Opening(round(from_s - begin_s, 3), round(until_s - begin_s, 3), port)
            for from_s, until_s, port in spans(traces)
        ),
        sketch=None if schema is None else f"{schema.sketch.name} {schema.sketch.version}",
    )
