"""A process that is killed while it writes: whatever the journal had confirmed is there afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.model import CommandState
from gateway.store.database import Database, JournalRefused
from gateway.store.journal import Journal
from tests.store import writing_child
from tests.store.rows import command

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent.parent
LIFE = [CommandState.QUEUED, CommandState.SENT, CommandState.DONE]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def start_child(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", writing_child.__name__, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_what_was_confirmed_before_a_kill_is_there(path: Path) -> None:
    epoch = 0
    for kill_after in (1, 7, 40, 41, 150):
        with start_child(path) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(kill_after)]
            child.kill()
            lines += child.stdout.readlines()  # what it had said by then
        confirmed = {}
        for line in lines:
            if line.endswith("\n"):  # the last may be cut
                command_id, state = line.split()
                confirmed[command_id] = CommandState(state)
        assert len(confirmed) >= kill_after / len(LIFE)
        journal = Journal(Database(path), boards=["uno"])
        for command_id, state in confirmed.items():
            row = journal.get(command_id)
            assert row is not None
            assert LIFE.index(row.state) >= LIFE.index(state)
        assert journal.last_wire_id("uno") > max(int(command_id, 16) for command_id in confirmed)
        assert journal.epoch("uno") == (epoch or journal.epoch("uno")) != 0
        epoch = journal.epoch("uno")
        journal.close(timeout_s=20)


def test_a_killed_process_holds_the_file_no_more(path: Path) -> None:
    with start_child(path) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        with pytest.raises(JournalRefused, match="another gateway"):
            Journal(Database(path), boards=["uno"])
        child.kill()
    Journal(Database(path), boards=["uno"]).close()


@pytest.mark.needs("posix")
def test_a_file_that_may_not_grow_keeps_what_it_has(path: Path) -> None:
    """A real limit of the operating system, as a quota would set it, in a process of its own."""
    program = f"""
import resource
from pathlib import Path
from dataclasses import replace
from gateway.store.database import Database
from gateway.store.journal import Journal
from tests.store.rows import command
journal = Journal(Database(Path({str(path)!r})), boards=["uno"])
journal.start()
journal.record(command(1)).result(20)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
print(journal.record(replace(command(2), payload=bytes(1_000_000))).exception(20))
journal.record(command(3)).result(20)
print([int(row.id, 16) for row in journal.page("uno")[0]])
journal.close()
"""
    child = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    refusal, rows = child.stdout.splitlines()
    assert refusal == f"the journal {path} can't be written: its disk fails; look after it"
    assert rows == "[3, 1]"
    journal = Journal(Database(path), boards=["uno"])
    assert [row.id for row in journal.open_commands("uno")] == [command(1).id, command(3).id]
    journal.close()
