"""The configuration: file, environment and options; every fault with its place and its cure."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import duration
from gateway.config import KEYS, Address, Config, load
from gateway.config import source as yaml_source
from gateway.config.model import ITEMS, NAME, SECTIONS, Section
from gateway.config.values import INEXACT_BAUDS
from gateway.errors import ConfigError

Write = Callable[[str], Path]
ROOT = Path(__file__).parent.parent
BOARD_KEYS = [info.alias or name for name, info in SECTIONS["boards", NAME].model_fields.items()]
ONE_KIND = "needs a channel with its value, or an action with its arguments"
HOST_AND_PORT = 'must be HOST:PORT, such as 127.0.0.1:8080 or "[::1]:8080"'
HOST_NAME = "must be a host name without scheme or port, such as gateway.example"
NO_HOST = "is neither an IP address nor a host name; must be HOST:PORT, such as 127.0.0.1:8080"
EMPTY = "is empty, but needs a value"
NO_BOARD = "names no board; add one, such as `uno: {port: virtual://uno}`"
BOARD_NAME = "a board's name is a small letter, then up to 15 small letters, digits or _"
KEEP = "journal.keep: must be from 1d to 3650d"
BOARD = "boards: {uno: {port: virtual://uno}}\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file and gives its path."""

    def _write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def problems(
    path: Path | None, *, environ: Mapping[str, str] | None = None, port: str | None = None, listen: str | None = None
) -> list[str]:
    """What is wrong, with the folder cut off the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ or {}, port=port, listen=listen)
    return [problem.replace(f"{path.parent}/", "") if path else problem for problem in caught.value.problems]


# ---- what a good file becomes ----


def test_the_shipped_file_is_good_and_runs_on_the_virtual_board() -> None:
    config = load(ROOT / "config.yaml", environ={})
    assert config.http.listen == Address("127.0.0.1", 8080)
    assert {name: board.port for name, board in config.boards.items()} == {"uno": "virtual://uno"}
    assert config.state_dir == ROOT / ".gateway"


def test_the_shipped_file_says_nothing_but_the_defaults(write: Write) -> None:
    shipped = load(ROOT / "config.yaml", environ={})
    assert shipped.boards == load(write(BOARD), environ={}).boards


def test_every_key_arrives_as_a_plain_value(write: Write) -> None:
    config = load(
        write(
            """
http:
  listen: "[::1]:0"
  allow_anonymous: true
  allowed_hosts: [Gateway.Example, lab]
  threads: 12
boards:
  lab_2:
    port: socket://10.0.0.5:2000
    baud: auto
    mode: stream
    poll_interval: 50ms
    stale_after: 0.5s
    failsafe_after: 1m
    failsafe_latch: true
    link_timeout: 3s
    settle_within: 1m
    on_connect:
      - {channel: pwm9, value: 20, hold: 5s}
      - {action: pin_mode, arguments: {pin: 7, mode: 1}}
    queue_limit: 7
    record: 1.5GB
journal:
  path: other.db
  synchronous: normal
  keep: 36h
state_dir: state
"""
        ),
        environ={},
    )
    assert config.http.listen == Address("::1", 0)
    assert config.http.allow_anonymous is True
    assert config.http.allowed_hosts == ("gateway.example", "lab")
    assert config.http.threads == 12
    board = config.boards["lab_2"]
    assert (board.port, board.baud, board.mode) == ("socket://10.0.0.5:2000", None, "stream")
    assert (board.poll_interval_s, board.stale_after_s, board.failsafe_after_s) == (0.05, 0.5, 60.0)
    assert (board.failsafe_latch, board.link_timeout_s, board.queue_limit) == (True, 3.0, 7)
    assert board.settle_within_s == 60.0
    assert board.record_bytes == 1_500_000_000
    write_pwm, run_pin_mode = board.on_connect
    assert (write_pwm.channel, write_pwm.value, write_pwm.hold_s) == ("pwm9", 20, 5.0)
    assert (run_pin_mode.action, run_pin_mode.arguments) == ("pin_mode", {"pin": 7, "mode": 1})
    assert config.journal.path == Path("other.db")
    assert (config.journal.synchronous, config.journal.keep_s) == ("normal", 129_600.0)
    assert config.state_dir.name == "state"
    assert config.state_dir.is_absolute()


def test_the_result_can_not_be_changed(write: Write) -> None:
    config = load(write(BOARD), environ={})
    with pytest.raises(ValidationError, match="frozen"):
        config.http.threads = 3


def test_a_section_with_nothing_under_it_has_its_defaults(write: Write) -> None:
    assert load(write("http:\n" + BOARD), environ={}).http.threads == 8


# ---- YAML 1.2 ----


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = yaml_source.read(f"key: {text}")
    assert read.values == {"key": value}
    assert type(read.values["key"]) is type(value)
    assert yaml_source.scalar(text) == value


def test_quoted_scalars_are_text() -> None:
    assert yaml_source.read("a: '5'\nb: \"true\"\nc: !!str 5").values == {"a": "5", "b": "true", "c": "5"}


def test_aliases_and_merge_keys_unfold() -> None:
    read = yaml_source.read(
        """
a: &a {port: x, baud: 1}
b: {baud: 2, <<: *a}
c: {<<: [{port: y}, *a]}
"""
    )
    assert read.values == {"a": {"port": "x", "baud": 1}, "b": {"port": "x", "baud": 2}, "c": {"port": "y", "baud": 1}}
    assert read.faults == []


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BOMB, "more than 10000 values: aliases unfold too far"),
        (MERGE_BOMB, "more than 10000 values: aliases unfold too far"),
        ("a: &a [*a]", "nested too deeply, or an alias that holds itself"),
        ("a: &a {<<: *a}", "nested too deeply, or an alias that holds itself"),
        ("a:\n" + " [\n" * 2000, "nested too deeply, or an alias that holds itself"),
    ],
)
def test_a_bomb_is_a_fault_and_does_not_go_off(text: str, fault: str) -> None:
    assert [found.message for found in yaml_source.read(text).faults] == [fault]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("http: [", "1:8: not YAML: expected the node content, but found '<stream end>'"),
        (
            "boards:\n  uno:\n    port: virtual://uno\n bad: 3\n",
            "4:2: not YAML: expected <block end>, but found '<block mapping start>'",
        ),
        ("a: 1\n b: 2", "2:3: not YAML: mapping values are not allowed here"),
        ("a: *b", "1:4: not YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "2:1: not YAML: but found another document"),
        ("a: x\n\x07", "2:1: not YAML: the character U+0007 is not allowed"),
        ("- uno", "1:1: the file must hold keys and values, such as `http:`"),
        ("a: &a [*a]", "1:1: nested too deeply, or an alias that holds itself"),
        (MERGE_BOMB, "1:10: more than 10000 values: aliases unfold too far"),
    ],
)
def test_of_a_file_that_breaks_off_nothing_else_is_claimed(write: Write, text: str, fault: str) -> None:
    environ = {"GATEWAY_BOARDS__UNO__BAUD": "9600"}
    assert problems(write(text), environ=environ, port="COM3") == [f"config.yaml:{fault}"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("http: 5\n", "1:7: http: must hold keys and values, not 5"),
        (
            "http: !!python/object:os.system {}",
            "1:7: http: the tag tag:yaml.org,2002:python/object:os.system has no meaning here",
        ),
        ("http: {threads: !color red}", "1:17: http.threads: the tag !color has no meaning here"),
        ("http: {threads: !!int red}", "1:17: http.threads: not a value of its tag int"),
        ("? [a]\n: 1\n", "1:3: a key must be a plain word"),
        ("http: {<<: 5}", "1:12: http: only keys and values can be merged in with `<<`"),
        ("http:\n  threads: 3\n  threads: 4\n", "3:3: http.threads: stands twice; first in line 2"),
    ],
)
def test_other_faults_of_the_yaml_have_their_place(write: Write, text: str, fault: str) -> None:
    assert sorted(problems(write(text))) == sorted([f"config.yaml:{fault}", "config.yaml:1:1: boards: is missing"])


@given(st.text(max_size=200))
@example("\ufeff")
@example("&a a: *a")
@example("!!int '': 1")
@example("a: !!map x")
@example("a: !!str [b]")
@example("a: !!int 0o9")
def test_any_text_gives_values_or_faults(text: str) -> None:
    read = yaml_source.read(text)
    assert isinstance(read.values, dict)
    assert all(fault.place.line >= 1 and fault.place.column >= 1 for fault in read.faults)


def test_a_file_that_is_not_utf_8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"http:\n  listen: \xe4\n")
    assert problems(path) == ["config.yaml:2: not UTF-8; save the file in that encoding"]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BOARD.encode())
    assert list(load(path, environ={}).boards) == ["uno"]


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == ["none.yaml: No such file or directory; --config names another file"]
    assert problems(tmp_path)[0].endswith("Is a directory; --config names another file")


def test_a_huge_file_is_refused_unread(write: Write) -> None:
    assert problems(write("#" * (yaml_source.MAX_BYTES + 1))) == ["config.yaml: larger than 256 KiB"]


# ---- every rule, its place and its cure ----


@pytest.mark.parametrize(
    ("board", "fault"),
    [
        ("prt: x", "1:16: boards.uno.prt: unknown key; did you mean port?"),
        ("listen: x", "1:16: boards.uno.listen: unknown key; did you mean http.listen?"),
        (
            "wibble: x",
            f"1:16: boards.uno.wibble: unknown key; known: {', '.join(BOARD_KEYS)}",
        ),
        ("port: 3", "1:22: boards.uno.port: must be text, not 3"),
        (
            "port: ''",
            "1:22: boards.uno.port: must name a port, such as /dev/ttyACM0, COM3 or virtual://uno, or be auto",
        ),
        ("port: sockets://a:1", "1:22: boards.uno.port: sockets:// opens nothing; did you mean socket://a:1?"),
        ("port: ftp://a", "1:22: boards.uno.port: ftp:// opens nothing; known: virtual, replay, socket, rfc2217"),
        ("port: ", f"1:21: boards.uno.port: {EMPTY}"),
        ("baud: ", f"1:21: boards.uno.baud: {EMPTY}"),
        ("stale_after: ", f"1:28: boards.uno.stale_after: {EMPTY}"),
        ("baud: fast", '1:22: boards.uno.baud: must be auto or a whole number such as 250000, not "fast"'),
        ("baud: true", "1:22: boards.uno.baud: must be auto or a whole number such as 250000, not true"),
        (
            "baud: 1200",
            "1:22: boards.uno.baud: 1200 starts the bootloader of boards with native USB; take 250000 or 115200",
        ),
        ("baud: 300", "1:22: boards.uno.baud: must be from 9600 to 2000000, not 300"),
        ("poll_interval: 100", "1:31: boards.uno.poll_interval: needs a unit: 100ms or 100s"),
        (
            "poll_interval: 12:30",
            "1:31: boards.uno.poll_interval: a duration is a number and ms, s, m, h or d, such as 500ms or 1.5s",
        ),
        ("poll_interval: true", "1:31: boards.uno.poll_interval: must be a duration such as 500ms or 1.5s, not true"),
        ("poll_interval: 4ms", "1:31: boards.uno.poll_interval: must be from 5ms to 20s, not 4ms"),
        ("mode: streem", "1:22: boards.uno.mode: must be 'poll' or 'stream', not \"streem\""),
        ("mode: poll, poll_interval: 1ms", "1:43: boards.uno.poll_interval: must be from 5ms to 20s, not 1ms"),
        (
            "poll_interval: 500us, mode: stream",
            "1:31: boards.uno.poll_interval: a duration is a number and ms, s, m, h or d, such as 500ms or 1.5s",
        ),
        (
            "poll_interval: 0.5ms, mode: stream",
            "1:31: boards.uno.poll_interval: must be from 1ms to 20s, not 0.5ms",
        ),
        (
            "mode: stream, poll_interval: 2.5ms",
            "1:45: boards.uno.poll_interval: must be whole milliseconds with mode: stream, not 2.5ms",
        ),
        (
            "stale_after: 199ms",
            "1:29: boards.uno.stale_after: must be at least 2 times poll_interval, 200ms here, not 199ms",
        ),
        ("stale_after: 2d", "1:29: boards.uno.stale_after: must be from 10ms to 1d, not 172800s"),
        (
            "failsafe_after: 299ms",
            "1:32: boards.uno.failsafe_after: must be at least 3 times poll_interval, 300ms here, not 299ms",
        ),
        ("failsafe_after: 66s", "1:32: boards.uno.failsafe_after: must be from 15ms to 65s, not 66s"),
        ("link_timeout: 400ms", "1:30: boards.uno.link_timeout: must be from 500ms to 10m, not 400ms"),
        ("settle_within: 500ms", "1:31: boards.uno.settle_within: must be from 1s to 7d, not 500ms"),
        ("on_connect: 5", "1:28: boards.uno.on_connect: must be a list, not 5"),
        ("on_connect: [5]", "1:29: boards.uno.on_connect.0: must hold keys and values, not 5"),
        ("on_connect: [{chanel: a}]", "1:30: boards.uno.on_connect.0.chanel: unknown key; did you mean channel?"),
        ("on_connect: [{channel: a}]", f"1:29: boards.uno.on_connect.0: {ONE_KIND}"),
        ("on_connect: [{value: 1}]", f"1:29: boards.uno.on_connect.0: {ONE_KIND}"),
        ("on_connect: [{channel: a, value: 1, action: b}]", f"1:29: boards.uno.on_connect.0: {ONE_KIND}"),
        ("on_connect: [{channel: a, value: 1, arguments: {}}]", f"1:29: boards.uno.on_connect.0: {ONE_KIND}"),
        (
            "on_connect: [{channel: a, value: [1]}]",
            "1:49: boards.uno.on_connect.0.value: must be true, false, a number or text, not [1]",
        ),
        (
            "on_connect: [{action: a, arguments: 3}]",
            "1:52: boards.uno.on_connect.0.arguments: must hold arguments by name, not 3",
        ),
        (
            "on_connect: [{action: a, arguments: {b: [1]}}]",
            "1:52: boards.uno.on_connect.0.arguments: must be true, false, a number or text, not [1]",
        ),
        (
            "on_connect: [{action: a, hold: 1s}]",
            "1:29: boards.uno.on_connect.0: a hold is for an output, and an action has none",
        ),
        (
            "on_connect: [{channel: a, value: 1, hold: 66s}]",
            "1:29: boards.uno.on_connect.0: hold must be from 1ms to 65.535s",
        ),
        ("failsafe_latch: yes", '1:32: boards.uno.failsafe_latch: must be true or false, not "yes"'),
        ("record: 64", "1:24: boards.uno.record: must be a size such as 64MB or 1GB, not 64"),
        ("record: 64M", '1:24: boards.uno.record: must be a size such as 64MB or 1GB, not "64M"'),
        ("record: 1MB", "1:24: boards.uno.record: must be from 4MB to 1000GB, not 1MB"),
        ("queue_limit: 0", "1:29: boards.uno.queue_limit: must be at least 1, not 0"),
        ("queue_limit: 1.5", "1:29: boards.uno.queue_limit: must be a whole number, not 1.5"),
        ("queue_limit: 10001", "1:29: boards.uno.queue_limit: must be at most 10000, not 10001"),
    ],
)
def test_rules_of_a_board(write: Write, board: str, fault: str) -> None:
    rest = "" if board.startswith("port:") else ", port: virtual://uno"
    assert problems(write(f"boards: {{uno: {{{board}{rest}}}}}")) == [f"config.yaml:{fault}"]


@pytest.mark.parametrize("interval", ["1ms", "3ms", "29ms", "1.001s", "20s"])
def test_a_stream_may_be_faster_than_polls_by_whole_milliseconds(write: Write, interval: str) -> None:
    text = f"boards: {{uno: {{poll_interval: {interval}, mode: stream, port: virtual://uno}}}}"
    board = load(write(text), environ={}).boards["uno"]
    assert board.mode == "stream"
    assert board.poll_interval_s == pytest.approx(duration.parse(interval))


def test_whoever_makes_virtual_boards_says_which_there_are(write: Write) -> None:
    def check(url: str) -> None:
        if url != "virtual://uno":
            raise ValueError(f"{url} is none; known: virtual://uno")

    path = write("boards: {a: {port: virtual://uno}, b: {port: virtual://mega}, c: {port: COM3}, d: {baud: 3}}")
    with pytest.raises(ConfigError) as caught:
        load(path, environ={}, check_virtual=check)
    assert [problem.partition("config.yaml:")[2] for problem in caught.value.problems] == [
        "1:46: boards.b.port: virtual://mega is none; known: virtual://uno",
        "1:80: boards.d.port: is missing",
        "1:90: boards.d.baud: must be from 9600 to 2000000, not 3",
    ]
    with pytest.raises(ConfigError, match="virtual:// is none"):
        load(None, environ={}, port="virtual://", check_virtual=check)


@pytest.mark.parametrize("baud", INEXACT_BAUDS)
def test_rates_that_an_arduino_can_not_make_are_refused(write: Write, baud: int) -> None:
    found = problems(write(f"boards: {{uno: {{port: COM3, baud: {baud}}}}}"))
    assert found == [
        f"config.yaml:1:34: boards.uno.baud: an Arduino can't make {baud} exactly enough; take 250000 or 115200"
    ]


@pytest.mark.parametrize(
    ("http", "fault"),
    [
        ("listen: 8080", f"1:16: http.listen: {HOST_AND_PORT}, not 8080"),
        ("listen: localhost", f'1:16: http.listen: {HOST_AND_PORT}, not "localhost"'),
        ("listen: localhost:65536", f'1:16: http.listen: {HOST_AND_PORT}, not "localhost:65536"'),
        ("listen: '[::g]:80'", f'1:16: http.listen: {HOST_AND_PORT}, not "[::g]:80"'),
        ("listen: '[1::2::3]:80'", "1:16: http.listen: At most one '::' permitted in '1::2::3'"),
        ("threads: 1", "1:17: http.threads: must be at least 2, not 1"),
        ("threads: many", '1:17: http.threads: must be a whole number, not "many"'),
        ("allowed_hosts: [ok, 'http://x']", f'1:28: http.allowed_hosts.1: {HOST_NAME}, not "http://x"'),
        ("allowed_hosts: http://x", f'1:8: http.allowed_hosts.0: {HOST_NAME}, not "http://x"'),
        ("allowed_hosts: [~]", f"1:24: http.allowed_hosts.0: {EMPTY}"),
        ("listen: ", f"1:15: http.listen: {EMPTY}"),
        ("threads: ", f"1:16: http.threads: {EMPTY}"),
        ("allowed_hosts: ", f"1:22: http.allowed_hosts: {EMPTY}"),
        ("listen: 12:30", f"1:16: http.listen: 12 {NO_HOST}"),
        ("listen: 127.1:80", f"1:16: http.listen: 127.1 {NO_HOST}"),
        ("listen: 10.0.0.256:80", f"1:16: http.listen: 10.0.0.256 {NO_HOST}"),
        ("listen: 0x7f000001:80", f"1:16: http.listen: 0x7f000001 {NO_HOST}"),
        ("listen: -a:80", f"1:16: http.listen: -a {NO_HOST}"),
        ("allowed_hosts: 5", "1:23: http.allowed_hosts: must be a list, not 5"),
        ("allow_anonymus: true", "1:8: http.allow_anonymus: unknown key; did you mean allow_anonymous?"),
    ],
)  # fmt: skip
def test_rules_of_http(write: Write, http: str, fault: str) -> None:
    assert problems(write(f"http: {{{http}}}\n{BOARD}")) == [f"config.yaml:{fault}"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "config.yaml:1:1: boards: is missing"),
        ("boards: {}", f"config.yaml:1:9: boards: {NO_BOARD}"),
        ("boards:", f"config.yaml:1:8: boards: {NO_BOARD}"),
        ("boards:\n  uno:\n", "config.yaml:2:3: boards.uno.port: is missing"),
        ("boards:\n  uno: {baud: 115200}\n", "config.yaml:2:3: boards.uno.port: is missing"),
        ("boards:\n  uno: x\n", 'config.yaml:2:8: boards.uno: must hold keys and values, not "x"'),
        ("boards: {Uno: {port: COM3}}", f"config.yaml:1:10: boards.Uno: {BOARD_NAME}"),
        ("board: 1\n" + BOARD, "config.yaml:1:1: board: unknown key; did you mean boards?"),
        ("listen: x\n" + BOARD, "config.yaml:1:1: listen: unknown key; did you mean http.listen?"),
        ("state_dir: ''\n" + BOARD, 'config.yaml:1:12: state_dir: must be a directory, not ""'),
        ("journal: {path: /}\n" + BOARD, 'config.yaml:1:17: journal.path: must be a file, not "/"'),
        ("journal: {path: 3}\n" + BOARD, "config.yaml:1:17: journal.path: must be a file, not 3"),
        (
            "journal: {synchronous: off}\n" + BOARD,
            "config.yaml:1:24: journal.synchronous: must be 'full' or 'normal', not \"off\"",
        ),
        ("journal: {keep: 23h}\n" + BOARD, f"config.yaml:1:17: {KEEP}, not 82800s"),
        ("journal: {keep: 3651d}\n" + BOARD, f"config.yaml:1:17: {KEEP}, not 315446400s"),
        ("journal: {keeps: 7d}\n" + BOARD, "config.yaml:1:11: journal.keeps: unknown key; did you mean keep?"),
        (
            "boards:\n  a: {port: COM3}\n  b: {port: COM3}\n  c: {port: virtual://uno}\n  d: {port: virtual://uno}",
            "config.yaml:3:13: boards.b.port: COM3 is the port of board a already",
        ),
    ],
)  # fmt: skip
def test_rules_of_the_whole(write: Write, text: str, fault: str) -> None:
    assert problems(write(text)) == [fault]


def test_all_faults_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    found = problems(
        write("http:\n  thread: 3\n  listen: x\nboards:\n  uno:\n    baud: 3\n    baud: 4\n    pot: y\nlisten: z\n"),
        environ={"GATEWAY_HTTP__THREADS": "0"},
    )
    places = [problem.split(": ")[:2] for problem in found]
    assert places == [
        ["GATEWAY_HTTP__THREADS", "http.threads"],
        ["config.yaml:2:3", "http.thread"],
        ["config.yaml:3:11", "http.listen"],
        ["config.yaml:5:3", "boards.uno.port"],
        ["config.yaml:7:5", "boards.uno.baud"],
        ["config.yaml:8:5", "boards.uno.pot"],
        ["config.yaml:9:1", "listen"],
    ]


def test_no_character_of_the_file_moves_the_cursor(write: Write) -> None:
    found = problems(write('"a\\e[2J": 1\nboards: {uno: {port: "\\x07", baud: "\\ud800", queue_limit: "\\e[2J"}}\n'))
    assert found == [
        "config.yaml:1:1: a key must be a plain word",
        "config.yaml:2:22: boards.uno.port: must name a port, such as /dev/ttyACM0, COM3 or virtual://uno, or be auto",
        "config.yaml:2:36: boards.uno.baud: not a value of its tag str",
        r'config.yaml:2:59: boards.uno.queue_limit: must be a whole number, not "\u001b[2J"',
    ]
    found = problems(write(BOARD), environ={"GATEWAY_\x1b[2J": "1"})
    assert found[0].startswith(r"GATEWAY_\x1b[2J: overrides no key")


def test_a_long_value_is_shown_cut(write: Write) -> None:
    (found,) = problems(write(f"http: {{threads: {'x' * 500}}}\n{BOARD}"))
    assert found.endswith("x...")
    assert len(found) < 200


# ---- durations that follow ----


@pytest.mark.parametrize(
    ("poll_interval", "stale_after_s", "failsafe_after_s", "link_timeout_s"),
    [
        ("5ms", 1.0, 2.0, 2.0),
        ("500ms", 1.0, 2.0, 2.0),
        ("600ms", 1.2, 2.0, 2.0),
        ("800ms", 1.6, 2.4, 2.4),
        ("1s", 2.0, 3.0, 3.0),
        ("0.700001s", 1.401, 2.101, 2.101),
        ("20s", 40.0, 60.0, 60.0),
    ],
)
def test_what_is_not_set_follows_the_poll_interval(
    write: Write, poll_interval: str, stale_after_s: float, failsafe_after_s: float, link_timeout_s: float
) -> None:
    text = f"boards: {{uno: {{port: COM3, poll_interval: {poll_interval}}}}}"
    board = load(write(text), environ={}).boards["uno"]
    assert board.stale_after_s == stale_after_s
    assert (board.failsafe_after_s, board.link_timeout_s) == (failsafe_after_s, link_timeout_s)


@given(st.integers(5_000_000, 20_000_000_000))
def test_no_poll_interval_alone_is_a_fault(nanoseconds: int) -> None:
    seconds = f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}s"
    board = load(None, environ={"GATEWAY_BOARDS__BOARD__POLL_INTERVAL": seconds}, port="COM3").boards["board"]
    assert board.failsafe_after_s >= 3 * board.poll_interval_s * (1 - 1e-12)


def test_a_faulty_poll_interval_is_the_only_fault(write: Write) -> None:
    for poll_interval, said in (("30s", "must be from 5ms to 20s"), ("x", "a duration is"), ("", "is empty")):
        (found,) = problems(write(f"boards: {{uno: {{port: COM3, poll_interval: {poll_interval}}}}}"))
        assert f"boards.uno.poll_interval: {said}" in found


def test_what_is_set_does_not_follow(write: Write) -> None:
    found = problems(write("boards: {uno: {port: COM3, poll_interval: 800ms, stale_after: 1s, failsafe_after: 2.4s}}"))
    assert found == [
        "config.yaml:1:63: boards.uno.stale_after: must be at least 2 times poll_interval, 1.6s here, not 1s"
    ]


# ---- who may reach the gateway ----


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"])
def test_loopback_needs_no_leave(write: Write, listen: str) -> None:
    config = load(write(BOARD), environ={}, listen=listen)
    assert str(config.http.listen) == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "192.168.1.5:1", "[::]:1", "gateway.example:1", "127.0.0.1.example:1"])
def test_another_address_needs_allow_anonymous(write: Write, listen: str) -> None:
    (found,) = problems(write(BOARD), listen=listen)
    assert found.startswith(f"--listen: http.listen: on {listen} everyone who reaches this machine could command")
    assert "http.allow_anonymous: true" in found
    assert "not built yet" in found
    load(write("http: {allow_anonymous: true}\n" + BOARD), environ={}, listen=listen)


# ---- environment and options ----


def test_variables_override_the_file(write: Write) -> None:
    environ = {
        "GATEWAY_HTTP__LISTEN": "[::1]:9000",
        "GATEWAY_HTTP__ALLOWED_HOSTS": "a.example, b.example",
        "GATEWAY_BOARDS__MY__UNO__PORT": "COM7",
        "GATEWAY_BOARDS__MY__UNO__BAUD": "115200",
        "GATEWAY_BOARDS__MY__UNO__FAILSAFE_LATCH": "true",
        "GATEWAY_STATE_DIR": "/var/lib/x",
        "HOME": "/",
    }
    config = load(write("boards: {my__uno: {port: COM3}}"), environ=environ)
    assert config.http.listen == Address("::1", 9000)
    assert config.http.allowed_hosts == ("a.example", "b.example")
    board = config.boards["my__uno"]
    assert (board.port, board.baud, board.failsafe_latch) == ("COM7", 115_200, True)
    assert config.state_dir == Path("/var/lib/x")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("a.b", ("a.b",)),
        ("a.b, C.d", ("a.b", "c.d")),
        ("[a.b, c.d]", ("a.b", "c.d")),
        (""" ["a.b", 'c.d'] """, ("a.b", "c.d")),
        ("[]", ()),
    ],
)
def test_a_variable_holds_a_list_with_or_without_brackets(write: Write, text: str, hosts: tuple[str, ...]) -> None:
    config = load(write(BOARD), environ={"GATEWAY_HTTP__ALLOWED_HOSTS": text})
    assert config.http.allowed_hosts == hosts


def test_a_fault_in_the_list_of_a_variable_names_the_variable(write: Write) -> None:
    found = problems(
        write("http: {allowed_hosts: [a, b]}\n" + BOARD), environ={"GATEWAY_HTTP__ALLOWED_HOSTS": "[a.b, c/d"}
    )
    assert found == [
        f'GATEWAY_HTTP__ALLOWED_HOSTS: http.allowed_hosts.0: {HOST_NAME}, not "[a.b"',
        f'GATEWAY_HTTP__ALLOWED_HOSTS: http.allowed_hosts.1: {HOST_NAME}, not "c/d"',
    ]


@pytest.mark.parametrize("key", ["http.listen", "http.allowed_hosts", "http.threads", "boards.uno.port", "state_dir"])
def test_an_empty_variable_is_said_to_be_empty(write: Write, key: str) -> None:
    variable = "GATEWAY_" + key.replace(".", "__").upper()
    assert problems(write(BOARD), environ={variable: ""}) == [f"{variable}: {key}: {EMPTY}"]


@pytest.mark.parametrize(
    ("variable", "cure"),
    [
        ("GATEWAY_HTTP__LISTN", "did you mean GATEWAY_HTTP__LISTEN?"),
        ("GATEWAY_BOARDS__UN__PORT", "did you mean GATEWAY_BOARDS__UNO__PORT?"),
        ("GATEWAY_BOARDS__UNO", "did you mean GATEWAY_BOARDS__UNO__"),
    ],
)
def test_an_unknown_variable_is_an_error(write: Write, variable: str, cure: str) -> None:
    (found,) = problems(write(BOARD), environ={variable: "1"})
    assert found.startswith(f"{variable}: overrides no key; {cure}")


@pytest.mark.parametrize("text", ["9" * 5000, "\udcff"])
def test_a_variable_that_can_not_be_read_is_named(write: Write, text: str) -> None:
    found = problems(write(BOARD), environ={"GATEWAY_HTTP__THREADS": text})
    assert found == ["GATEWAY_HTTP__THREADS: neither text nor a number that can be read"]


def test_a_wrong_variable_is_named(write: Write) -> None:
    found = problems(write(BOARD), environ={"GATEWAY_BOARDS__UNO__POLL_INTERVAL": "5"})
    assert found == ["GATEWAY_BOARDS__UNO__POLL_INTERVAL: boards.uno.poll_interval: needs a unit: 5ms or 5s"]


def test_a_variable_does_not_hide_a_faulty_section(write: Write) -> None:
    found = problems(write("http: 5\nboards: 6\n"), environ={"GATEWAY_HTTP__THREADS": "4"}, port="COM3")
    assert found == [
        "config.yaml:1:7: http: must hold keys and values, not 5",
        "config.yaml:2:9: boards: must hold boards by name, not 6",
    ]


def test_options_win_over_variables_over_the_file(write: Write) -> None:
    environ = {"GATEWAY_HTTP__LISTEN": "127.0.0.1:2", "GATEWAY_BOARDS__UNO__PORT": "COM2"}
    path = write("http: {listen: 127.0.0.1:1}\nboards: {uno: {port: COM1}}")
    assert load(path, environ=environ).http.listen.port == 2
    config = load(path, environ=environ, listen="127.0.0.1:3", port="COM3")
    assert (config.http.listen.port, config.boards["uno"].port) == (3, "COM3")


def test_port_replaces_that_of_the_only_board_and_keeps_the_rest(write: Write) -> None:
    config = load(write("boards: {bench: {port: COM1, baud: 115200}}"), environ={}, port="/dev/ttyACM0")
    assert {name: (board.port, board.baud) for name, board in config.boards.items()} == {
        "bench": ("/dev/ttyACM0", 115_200)
    }


def test_port_with_several_boards_is_refused_with_the_cure(write: Write) -> None:
    found = problems(write("boards: {a: {port: COM1}, b: {port: COM2}}"), port="COM3")
    assert found == [
        "--port: the file has 2 boards (a, b); set GATEWAY_BOARDS__A__PORT for one of them, or edit the file"
    ]


def test_port_alone_makes_one_board() -> None:
    config = load(None, environ={"GATEWAY_BOARDS__BOARD__BAUD": "auto"}, port="virtual://uno")
    assert {name: (board.port, board.baud) for name, board in config.boards.items()} == {
        "board": ("virtual://uno", None)
    }
    assert config.state_dir == Path(".gateway")


def test_a_board_found_by_itself_needs_no_file() -> None:
    board = load(None, environ={}, port="auto").boards["board"]
    assert (board.port, board.match) == ("auto", None)


def test_a_fault_without_a_file_names_its_key() -> None:
    assert problems(None, environ={"GATEWAY_BOARDS__BOARD__POLL_INTERVAL": "1"}, port="COM3") == [
        "GATEWAY_BOARDS__BOARD__POLL_INTERVAL: boards.board.poll_interval: needs a unit: 1ms or 1s"
    ]
    assert problems(None, port="") == [
        "--port: boards.board.port: must name a port, such as /dev/ttyACM0, COM3 or virtual://uno, or be auto"
    ]


def test_neither_file_nor_port_names_both_cures() -> None:
    (found,) = problems(None)
    assert found.startswith("there is no config.yaml here")
    assert "--config FILE" in found
    assert "--port auto" in found


def test_state_dir_is_beside_the_file_unless_systemd_or_the_user_says_otherwise(write: Write) -> None:
    path = write(BOARD)
    assert load(path, environ={}).state_dir == path.parent / ".gateway"
    assert load(path, environ={"STATE_DIRECTORY": "/var/lib/gateway:/x"}).state_dir == Path("/var/lib/gateway")
    path = write(BOARD + "state_dir: ../kept\n")
    assert load(path, environ={"STATE_DIRECTORY": "/var/lib/gateway"}).state_dir == path.parent / "../kept"


# ---- a board's identity ----


def match_of(path: Path, *, board: str = "uno", **environ: str) -> tuple[str | None, str | None, str | None]:
    match = load(path, environ=environ).boards[board].match
    assert match is not None
    return match.board_id, match.usb_serial, match.location


def test_a_board_is_looked_for_by_what_it_is(write: Write) -> None:
    path = write('boards: {uno: {port: auto, match: {board_id: 1A2B3C4D, usb_serial: "0557", location: 1-1.4}}}')
    assert load(path, environ={}).boards["uno"].port == "auto"
    assert match_of(path) == ("1a2b3c4d", "0557", "1-1.4")
    assert load(write("boards: {uno: {port: auto}}"), environ={}).boards["uno"].match is None


def test_an_id_without_a_letter_keeps_its_zeros(write: Write) -> None:
    assert match_of(write("boards: {uno: {port: auto, match: {board_id: 00001234}}}"))[0] == "00001234"


def test_an_identity_comes_from_the_environment_too(write: Write) -> None:
    path = write("boards: {uno: {port: auto, match: {location: 1-1.4}}}")
    assert match_of(path, GATEWAY_BOARDS__UNO__MATCH__BOARD_ID="1a2b3c4d") == ("1a2b3c4d", None, "1-1.4")
    path = write("boards: {uno: {port: auto}}")
    assert match_of(path, GATEWAY_BOARDS__UNO__MATCH__LOCATION="2-1") == (None, None, "2-1")


@pytest.mark.parametrize(
    ("board", "fault"),
    [
        ("port: auto, match: 7", "1:35: boards.uno.match: must hold keys and values, not 7"),
        (
            "port: auto, match: {}",
            '1:35: boards.uno.match: needs board_id, usb_serial or location, such as {board_id: "1a2b3c4d"}',
        ),
        (
            "port: auto, match: {serial: x}",
            "1:36: boards.uno.match.serial: unknown key; did you mean usb_serial?",
        ),
        (
            "port: auto, match: {board_id: 1a2b}",
            '1:46: boards.uno.match.board_id: must be 8 hexadecimal digits in quotes, such as "1a2b3c4d", not "1a2b"',
        ),
        (
            "port: auto, match: {usb_serial: 0557}",
            "1:48: boards.uno.match.usb_serial: must be text in quotes, as `gateway ports` shows it: "
            "numbers lose their leading zeros",
        ),
        (
            "port: auto, match: {location: true}",
            "1:46: boards.uno.match.location: must be text as `gateway ports` shows it, not true",
        ),
        (
            "port: virtual://uno, match: {location: 1-1}",
            "1:44: boards.uno.match: a virtual board is made for its port and has nothing to be told by: "
            "leave match out",
        ),
        (
            "port: socket://a:1, match: {usb_serial: x}",
            "1:43: boards.uno.match: usb_serial and location are not known behind socket://; board_id is",
        ),
    ],
)
def test_rules_of_an_identity(write: Write, board: str, fault: str) -> None:
    assert problems(write(f"boards: {{uno: {{{board}}}}}")) == [f"config.yaml:{fault}"]


def test_two_boards_are_not_told_by_the_same(write: Write) -> None:
    text = "boards:\n  a: {port: auto, match: {board_id: 1a2b3c4d}}\n  b: {port: auto, match: {board_id: 1A2B3C4D}}"
    assert problems(write(text)) == ["config.yaml:3:37: boards.b.match.board_id: 1A2B3C4D is told of board a already"]
    assert load(write("boards: {a: {port: auto}, b: {port: auto}}"), environ={}).boards.keys() == {"a", "b"}


# ---- the schema ----


def test_every_section_is_known_to_the_messages() -> None:
    assert {*SECTIONS.values(), *ITEMS.values()} == set(Section.__subclasses__())


def test_every_key_has_a_description() -> None:
    assert {path for path, info in KEYS.items() if not info.description} == set()


def test_the_schema_writes_keys_as_the_file_does() -> None:
    schema = Config.model_json_schema()
    board = schema["$defs"]["BoardConfig"]
    assert list(board["properties"]) == BOARD_KEYS
    assert list(schema["$defs"]["MatchConfig"]["properties"]) == ["board_id", "usb_serial", "location"]
    assert board["required"] == ["port"]
    assert board["additionalProperties"] is False
    assert board["properties"]["poll_interval"]["default"] == "100ms"
    assert board["properties"]["poll_interval"]["type"] == "string"
    assert "pattern" in board["properties"]["poll_interval"]
    assert schema["$defs"]["HttpConfig"]["properties"]["listen"]["default"] == "127.0.0.1:8080"
    assert list(schema["properties"]["boards"]["patternProperties"]) == ["^[a-z][a-z0-9_]{0,15}$"]
    assert (board["properties"]["stale_after"]["default"], board["properties"]["failsafe_after"]["default"]) == (
        "1s",
        "2s",
    )
    json.dumps(schema)
