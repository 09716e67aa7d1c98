"""Run as a program: writes commands into the journal that the first argument names, until it is killed. Prints each id
and state once the journal has confirmed it, and nothing before."""

import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

from gateway.model import CommandState
from gateway.store.database import Database
from gateway.store.journal import Journal
from tests.store.rows import command

TOGETHER = 3  # rows of as many commands gather before the first is waited for


def main() -> None:
    journal = Journal(Database(Path(sys.argv[1])), boards=["uno"])
    journal.start()
    for first in count(journal.last_wire_id("uno"), TOGETHER):  # where the last process was killed
        commands = [command(number, wire_id=number + 1) for number in range(first, first + TOGETHER)]
        rows = [
            replace(row, state=state)
            for row in commands
            for state in (CommandState.QUEUED, CommandState.SENT, CommandState.DONE)
        ]
        for row, kept in [(row, journal.record(row)) for row in rows]:
            kept.result(20)
            print(row.id, row.state, flush=True)


if __name__ == "__main__":
    main()
