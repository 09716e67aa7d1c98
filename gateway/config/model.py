"""Every key of the configuration: its type, default, limits and its one description.

Frozen pydantic models; who reads them gets plain values (seconds as floats, an address as host and port). A field has
its unit in its name, its alias is the key in the file. JSON Schema, error messages and the test of the README follow
from here.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from gateway import duration
from gateway.config.values import (
    DEFAULT_BAUD,
    Address,
    Arguments,
    Baud,
    BoardId,
    BoardName,
    Directory,
    File,
    HostNames,
    Listen,
    ListOf,
    OptionalScalar,
    Port,
    Seconds,
    Size,
    UsbText,
)

STATE_DIR = ".gateway"  # beside the configuration file
JOURNAL = "journal.db"  # in it
MIN_KEEP = "1d"  # idempotency keys live for 24 h, and mean commands
MAX_KEEP = "3650d"
POLL_INTERVAL = "100ms"
VIRTUAL_SCHEMES = ("virtual", "replay")
ROUNDING_MS = 1e-7  # less than a nanosecond: what a product of decimals may be off as a binary fraction
MIN_HOLD_S, MAX_HOLD_S = 0.001, 65.535  # 16 bits of milliseconds on the wire
NAME = "NAME"
"""Stands for a board's name in `SECTIONS` and `KEYS`."""


class Limits(NamedTuple):
    """What a duration must keep to; `polls` is how many poll intervals it must hold at least."""

    minimum: str
    maximum: str
    polls: int

    def least_s(self, poll_interval_s: float) -> float:
        """To the nanosecond, as people can write it: three times 0.8 s are 2.4 s, and no binary fraction more."""
        return round(self.polls * poll_interval_s, 9)

    def default(self, documented: str, *, poll_interval_s: float) -> str:
        """The documented default, or as many polls as it must hold, in whole milliseconds, where that is more."""
        needed_ms = ceil(self.least_s(poll_interval_s) * 1000 - ROUNDING_MS)
        followed_s = min(needed_ms / 1000, duration.parse(self.maximum))
        return documented if followed_s <= duration.parse(documented) else duration.write(followed_s)


LIMITS = {
    "poll_interval_s": Limits("5ms", "20s", 0),
    "stale_after_s": Limits("10ms", "1d", 2),
    "failsafe_after_s": Limits("15ms", "65s", 3),  # the wire carries 16 bits of milliseconds
    "link_timeout_s": Limits("500ms", "10m", 3),  # as many misses make a board degraded first
    "settle_within_s": Limits("1s", "7d", 0),
}
STREAM_PERIOD = Limits("1ms", "20s", 0)  # what poll_interval is then; the wire carries whole milliseconds


def _key(alias: str, default: object, description: str) -> Any:
    """A key whose default is written as the file would write it and parsed like any other value."""
    return Field(default=default, alias=alias, description=description)


def _is_period(info: ValidationInfo) -> bool:
    return info.field_name == "poll_interval_s" and info.data.get("mode") == "stream"


class Section(BaseModel):
    """A group of keys: unknown ones are refused, no value is bent into another type, defaults are checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, values: object) -> object:
        """A section with nothing under it (`http:`) has its defaults."""
        return {} if values is None else values


class HttpConfig(Section):
    """How the gateway is reached."""

    allow_anonymous: bool = Field(
        default=False,
        description="Serve other machines without asking who they are; needed to listen on more than this machine.",
    )
    listen: Listen = _key(
        "listen",
        "127.0.0.1:8080",
        'Address and TCP port to serve on. IPv6 in brackets and quotes ("[::1]:8080"); port 0 takes a free one.',
    )
    allowed_hosts: HostNames = Field(
        default=(),
        description="Host names that requests may ask for, beside localhost, this machine's name and any IP address.",
    )
    threads: int = Field(
        default=8,
        ge=2,
        le=64,
        description="Requests served at a time, 2 to 64. At most half of them wait for a command to finish.",
    )

    @field_validator("listen")
    @classmethod
    def _guarded(cls, listen: Address, info: ValidationInfo) -> Address:
        if not listen.loopback and info.data.get("allow_anonymous") is False:
            raise ValueError(
                f"on {listen} everyone who reaches this machine could command the boards. Set http.allow_anonymous: "
                "true if you mean that (access tokens are not built yet), or listen on 127.0.0.1"
            )
        return listen


class OnConnectConfig(Section):
    """A command: a channel and its value, or an action and its arguments."""

    channel: str | None = None
    value: OptionalScalar = None
    action: str | None = None
    arguments: Arguments = None
    hold_s: Seconds | None = Field(default=None, alias="hold", description="How long the output keeps its value.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        writes = self.channel is not None and self.value is not None
        runs = self.action is not None
        if writes == runs or (writes and self.arguments is not None) or (runs and self.value is not None):
            raise ValueError("needs a channel with its value, or an action with its arguments")
        if runs and self.hold_s is not None:
            raise ValueError("a hold is for an output, and an action has none")
        if self.hold_s is not None and not MIN_HOLD_S <= self.hold_s <= MAX_HOLD_S:
            raise ValueError(f"hold must be from {duration.write(MIN_HOLD_S)} to {duration.write(MAX_HOLD_S)}")
        return self


class MatchConfig(Section):
    """Which board is meant; all that is given has to fit. `gateway ports` and the board resource show what to write."""

    board_id: BoardId | None = Field(
        default=None,
        description="The board's own id, 8 hexadecimal digits in quotes. The gateway gives one to a blank board.",
    )
    usb_serial: UsbText | None = Field(default=None, description="The serial number of its USB chip, if it has one.")
    location: UsbText | None = Field(
        default=None, description="The USB port that it is plugged into, such as 1-1.4, whichever board that is."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.board_id is None and self.usb_serial is None and self.location is None:
            raise ValueError('needs board_id, usb_serial or location, such as {board_id: "1a2b3c4d"}')
        return self


class BoardConfig(Section):
    """One board."""

    port: Port = Field(
        description="Where the board is: auto for a board found by itself, /dev/ttyACM0, COM3, socket://host:2000, "
        "rfc2217://host:2217 or virtual://uno.",
        examples=["auto", "/dev/ttyACM0", "COM3", "socket://host:2000", "rfc2217://host:2217", "virtual://uno"],
    )
    match: MatchConfig | None = Field(
        default=None,
        description="Which board is meant: with port: auto it is looked for, at any other port it has to be this one.",
    )
    baud: Baud = _key(
        "baud",
        DEFAULT_BAUD,
        "Baud rate of the sketch, or auto to try the usual ones. Boards with native USB ignore it.",
    )
    mode: Literal["poll", "stream"] = Field(
        default="poll",
        description="How readings are fetched. poll: the gateway asks for each. stream: the board sends them by itself "
        "for as long as the gateway renews that, at rates that polling can't reach.",
    )
    poll_interval_s: Seconds = _key(
        "poll_interval",
        POLL_INTERVAL,
        "How often all readings are fetched, 5ms to 20s; with mode: stream whole milliseconds from 1ms on.",
    )
    stale_after_s: Seconds = _key(
        "stale_after",
        "1s",
        "Age at which a reading is marked stale; at least twice poll_interval, at most 1d; default 1s, or twice "
        "poll_interval if that is more.",
    )
    failsafe_after_s: Seconds = _key(
        "failsafe_after",
        "2s",
        "Silence of the gateway after which the board itself puts its outputs to their safe values; at least three "
        "times poll_interval, at most 65s; default 2s, or three times poll_interval if that is more. The sketch's own "
        "limit applies where it is shorter: 2s, unless the sketch sets another with bridge.failsafeAfter.",
    )
    failsafe_latch: bool = Field(
        default=False,
        description="Keep the outputs safe after such a silence until POST /boards/{board}/clear. Without it the "
        "gateway frees them when it is back. Either way nothing moves before a new command.",
    )
    link_timeout_s: Seconds = _key(
        "link_timeout",
        "2s",
        "Silence of the board after which its port is closed and opened again; at least three times poll_interval, "
        "500ms to 10m; default 2s, or three times poll_interval if that is more.",
    )
    settle_within_s: Seconds = _key(
        "settle_within",
        "10m",
        "How long a board may stay away before a command that was under way is called unknown, 1s to 7d.",
    )
    on_connect: ListOf[OnConnectConfig] = Field(
        default=(),
        description="Commands sent whenever the board has connected, before those of clients: [{channel: pwm9, value: "
        "20}, {action: pin_mode, arguments: {pin: 7, mode: 1}}], each with a hold where it needs one.",
    )
    queue_limit: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Commands that may wait for the board, 1 to 10000; one more is refused with 429.",
    )

    record_bytes: Size | None = Field(
        default=None,
        alias="record",
        description="Keep so much of what passed on the link, both ways, in state_dir/recordings/NAME: 64MB is ten "
        "hours or more of polls at 100ms. Nothing is recorded without it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _follow(cls, values: object) -> object:
        """Durations that are not set follow poll_interval where their defaults would not hold enough polls."""
        if not isinstance(values, dict):
            return values
        try:
            poll_interval_s = duration.parse(str(values.get("poll_interval", POLL_INTERVAL)))
        except ValueError:
            return values  # the key's own check reports it
        defaults = {}
        for name, limits in LIMITS.items():
            field = cls.model_fields[name]
            defaults[field.alias] = limits.default(field.default, poll_interval_s=poll_interval_s)
        return defaults | values

    @field_validator("match")
    @classmethod
    def _matchable(cls, match: MatchConfig | None, info: ValidationInfo) -> MatchConfig | None:
        scheme, is_url, _ = str(info.data.get("port", "")).partition("://")
        if match is None or not is_url:
            return match
        if scheme in VIRTUAL_SCHEMES:
            raise ValueError(f"a {scheme} board is made for its port and has nothing to be told by: leave match out")
        if match.usb_serial is not None or match.location is not None:
            raise ValueError(f"usb_serial and location are not known behind {scheme}://; board_id is")
        return match

    @field_validator(*LIMITS)
    @classmethod
    def _within_limits(cls, value: float, info: ValidationInfo) -> float:
        limits = STREAM_PERIOD if _is_period(info) else LIMITS[str(info.field_name)]
        if not duration.parse(limits.minimum) <= value <= duration.parse(limits.maximum):
            raise ValueError(f"must be from {limits.minimum} to {limits.maximum}, not {duration.write(value)}")
        if _is_period(info) and abs(value * 1000 - round(value * 1000)) > ROUNDING_MS:
            raise ValueError(f"must be whole milliseconds with mode: stream, not {duration.write(value)}")
        poll_interval_s = info.data.get("poll_interval_s")  # absent when it is wrong itself
        if poll_interval_s is not None and value < (least_s := limits.least_s(poll_interval_s)):
            raise ValueError(
                f"must be at least {limits.polls} times poll_interval, {duration.write(least_s)} here, "
                f"not {duration.write(value)}"
            )
        return value


class JournalConfig(Section):
    """How commands are kept."""

    path: File = _key("path", JOURNAL, "File of the commands, made with mode 0600; relative to state_dir.")
    synchronous: Literal["full", "normal"] = Field(
        default="full",
        description="full: a command is on the disk before it is sent, whatever happens then. normal: spares the disk "
        "a wait for each; after a power cut the last commands may be forgotten, or run a second time.",
    )
    keep_s: Seconds = _key("keep", "7d", f"How long commands are kept after they have ended, {MIN_KEEP} to {MAX_KEEP}.")

    @field_validator("keep_s")
    @classmethod
    def _long_enough(cls, value: float) -> float:
        if not duration.parse(MIN_KEEP) <= value <= duration.parse(MAX_KEEP):
            raise ValueError(f"must be from {MIN_KEEP} to {MAX_KEEP}, not {duration.write(value)}")
        return value


class Config(Section):
    """The whole configuration."""

    http: HttpConfig = Field(default_factory=HttpConfig, description="How the gateway is reached.")
    boards: Mapping[BoardName, BoardConfig] = Field(
        min_length=1,
        description="The boards by name: a small letter, then up to 15 small letters, digits or _.",
    )
    journal: JournalConfig = Field(default_factory=JournalConfig, description="How commands are kept.")
    state_dir: Directory = _key(
        "state_dir",
        STATE_DIR,
        "Directory of what the gateway keeps, made with mode 0700; relative to this file. Under systemd "
        "$STATE_DIRECTORY is the default.",
    )

    @field_validator("boards", mode="before")
    @classmethod
    def _none(cls, boards: object) -> object:
        """`boards:` with nothing under it names no board, as `boards: {}` does."""
        return {} if boards is None else boards


SECTIONS: Mapping[tuple[str, ...], type[Section]] = {
    (): Config,
    ("http",): HttpConfig,
    ("boards", NAME): BoardConfig,
    ("boards", NAME, "match"): MatchConfig,
    ("journal",): JournalConfig,
}
"""Where each section stands in the file."""

ITEMS: Mapping[str, type[Section]] = {"on_connect": OnConnectConfig}
"""What the items of a board's lists look like."""

KEYS: Mapping[tuple[str, ...], FieldInfo] = {
    (*path, info.alias or name): info
    for path, section in SECTIONS.items()
    for name, info in section.model_fields.items()
    if (*path, name) not in {known[: len(path) + 1] for known in SECTIONS if known}
}
"""Every key that takes a value, by its path; the keys of a board stand under `NAME`."""
