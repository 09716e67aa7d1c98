"""The URLs of recordings: what they may say, and what is wrong with those that are none."""

from pathlib import Path

import pytest

from gateway.errors import LinkError
from gateway.link import software_url
from gateway.link.replay_url import ReplayUrl, parse
from gateway.link.serial_port import open_port
from gateway.link.wake import Wake
from gateway.model import Reason


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("replay://a.recording", ReplayUrl(Path("a.recording"))),
        ("replay:///tmp/a.recording", ReplayUrl(Path("/tmp/a.recording"))),
        ("replay://d/a?speed=2&from=1.5m", ReplayUrl(Path("d/a"), 2.0, 90.0)),
    ],
)
def test_a_url_names_a_file_and_how_to_play_it(url: str, asked: ReplayUrl) -> None:
    assert parse(url) == asked
    assert software_url.parse(url) == asked


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("replay://", "needs a file, such as replay://board.recording"),
        ("replay://a?sped=2", 'no parameter "sped"; known: speed, from'),
        ("replay://a?speed=0", "speed=0: must be from 0.01 to 100"),
        ("replay://a?speed=nan", "speed=nan: must be"),
        ("replay://a?from=3", "from=3: a duration is a number and ms"),
        ("replay://a?speed=2&speed=3", "speed stands there twice"),
    ],
)
def test_a_wrong_url_says_what_would_be_right(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace("?", r"\?")):
        parse(url)


@pytest.mark.parametrize(("content", "fault"), [(None, "No such file"), (b"hello", "no recording of a link")])
def test_a_file_that_can_not_be_played_is_a_missing_port(tmp_path: Path, content: bytes | None, fault: str) -> None:
    file = tmp_path / "a"
    if content is not None:
        file.write_bytes(content)
    wake = Wake()
    with pytest.raises(LinkError, match=fault) as caught:
        open_port(f"replay://{file}", baud=250_000, wake=wake)
    wake.close()
    assert caught.value.reason is Reason.PORT_MISSING
