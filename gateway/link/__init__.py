"""Byte channels to boards: pyserial ports, the virtual board. One thread, the board's worker, owns each link."""
