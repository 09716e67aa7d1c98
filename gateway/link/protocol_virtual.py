"""pyserial handler for `virtual://MODEL`: each opening powers a virtual board on, behind a line with the faults that
the URL asks for. pyserial finds this module by its name.
"""

from gateway.link import virtual_url
from gateway.link.faulty_line import FaultyLine
from gateway.link.software_board import Board
from gateway.link.software_port import SoftwarePort
from gateway.link.virtual_board import VirtualBoard
from gateway.link.virtual_sketch import MODELS


class Serial(SoftwarePort):
    """A port with a virtual board."""

    def make_board(self, url: str) -> Board:
        """See `virtual_url`."""
        asked = virtual_url.parse(url)
        board = VirtualBoard(clock=self.clock, table=MODELS[asked.model]())
        return FaultyLine(board, asked.faults, clock=self.clock) if asked.faults else board
