"""pyserial handler for `replay://FILE`: each opening plays a recording from its beginning. pyserial finds this module
by its name.
"""

from gateway.link import replay_url
from gateway.link.recording import Recording
from gateway.link.replay_board import ReplayBoard
from gateway.link.replay_script import script_of
from gateway.link.software_board import Board
from gateway.link.software_port import SoftwarePort


class Serial(SoftwarePort):
    """A port with a recording behind it."""

    def make_board(self, url: str) -> Board:
        """See `replay_url`."""
        asked = replay_url.parse(url)
        script = script_of(Recording.read(asked.file), from_s=asked.from_s)
        return ReplayBoard(script, speed=asked.speed, clock=self.clock)
