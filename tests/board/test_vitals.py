"""What the board counts itself."""

from gateway.model import BoardVitals, Reason
from tests.board.world import World


def test_vitals_are_asked_for_at_once_and_every_ten_seconds() -> None:
    world = World()
    seen: list[BoardVitals | None] = []
    for second in (1, 9, 12):
        world.at(second, lambda: seen.append(world.status.vitals))
    world.run(13)
    first, same, later = seen
    assert first is not None
    assert first.free_ram > 0
    assert first.frames_rejected == 0
    assert same == first
    assert later is not None
    assert later.frames_received > first.frames_received + 50


def test_what_the_board_rejected_is_told() -> None:
    world = World()
    world.at(5, lambda: setattr(world.line, "flip", 0.02))
    world.at(9, lambda: setattr(world.line, "flip", 0.0))
    world.run(25)
    assert world.status.vitals is not None
    assert world.status.vitals.frames_rejected > 0


def test_an_answer_that_is_lost_is_waited_for_until_the_next_time() -> None:
    world = World()
    world.line.lose_replies = 0
    world.at(10.0, lambda: setattr(world.line, "drop", 0.3))
    world.at(11.9, lambda: setattr(world.line, "drop", 0.0))
    world.run(40)
    assert world.status.state.value == "online"
    assert world.status.vitals is not None


def test_of_a_board_that_is_away_nothing_is_known() -> None:
    world = World()
    world.at(2, lambda: setattr(world.line, "failing", Reason.PORT_MISSING))
    world.at(2, lambda: setattr(world.line, "missing", Reason.PORT_MISSING))
    world.run(3)
    assert world.status.vitals is None


def test_damaged_frames_of_both_ways_are_counted_over_the_last_minutes() -> None:
    world = World()
    world.at(15, lambda: setattr(world.line, "flip", 0.002))
    world.at(35, lambda: setattr(world.line, "flip", 0.0))
    seen = []
    for second in (5, 12, 45, 640, 660):
        world.at(second, lambda: seen.append(world.status.vitals.line if world.status.vitals else None))
    world.run(661)
    first, quiet, noisy, long_after, forgotten = seen
    assert first is None, "it takes two answers"
    assert quiet is not None
    assert (quiet.rejected, round(quiet.span_s)) == (0, 10)
    assert quiet.frames_here >= 90
    assert quiet.frames_there >= 90
    assert noisy is not None
    assert noisy.rejected_here > 0
    assert noisy.rejected_there > 0
    assert noisy.rejected < 0.2 * noisy.frames
    assert long_after is not None
    assert round(long_after.span_s) == 600
    assert forgotten is not None
    assert forgotten.rejected == 0, "what was ten minutes ago"


def test_the_counters_of_a_board_may_wrap() -> None:
    """They have 16 bits: two hours of polling."""
    world = World()
    world.board._session._received = 0xFFFF - 50
    world.run(12)
    vitals = world.status.vitals
    assert vitals is not None
    assert vitals.line is not None
    assert vitals.frames_received < 200, "it has wrapped"
    assert 90 < vitals.line.frames_there < 200


def test_a_board_that_was_reset_counts_anew() -> None:
    world = World()
    seen = []
    world.at(15, world.board.reset)
    for second in (14, 19, 29):
        world.at(second, lambda: seen.append(world.status.vitals))
    world.run(30)
    before, after, later = seen
    assert before is not None
    assert before.line is not None
    assert after is not None
    assert after.line is None, "it takes two answers"
    assert later is not None
    assert later.line is not None
    assert 90 < later.line.frames_there < 200
