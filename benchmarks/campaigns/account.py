"""Holds what the gateway said of each command against what the board did. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.campaigns.ledger import Execution

FINAL = ("done", "failed", "unknown", "expired", "cancelled")
NEVER_RAN = ("failed", "expired", "cancelled")  # `mark` refuses nothing, so here a failed one must not have run
PROMISES = (
    *("duplicates", "false_done", "false_not_run", "wrong_results", "not_asked_for"),
    *("changed_final_states", "without_final_state"),
)
"""The counts of an account that are 0 while all is well."""


@dataclass(frozen=True, slots=True)
class Told:
    """One accepted command, as its resource stands at the end; `state` is None where the resource is gone."""

    number: int
    state: str | None
    result: object = None
    answered: str | None = None
    """Its state as the client was answered."""
    created_s: float = 0.0
    """Unix time, as the next ones."""
    sent_s: float | None = None
    finished_s: float | None = None

    def was_waiting(self, moment_s: float) -> bool:
        """Queued by then, neither sent nor ended."""
        times_s = (self.sent_s, self.finished_s)
        return self.created_s <= moment_s and all(at_s is None or moment_s < at_s for at_s in times_s)

    def was_under_way(self, moment_s: float) -> bool:
        """Sent by then, and its end not yet known."""
        if self.sent_s is None or self.sent_s > moment_s:
            return False
        return self.finished_s is None or moment_s < self.finished_s


@dataclass(frozen=True, slots=True)
class Account:
    """A campaign's commands. All below `executed` are broken promises, and 0."""

    accepted: int
    states: Mapping[str, int]
    executed: int
    """Executions that the board's pins told, whole or broken off."""
    duplicates: int
    """Executions beyond the first of a number."""
    false_done: int
    """`done`, and the board never finished it."""
    false_not_run: int
    """`failed`, `expired` or `cancelled`, and the board began it."""
    wrong_results: int
    """`done` with another result than the board returned."""
    not_asked_for: int
    """Executions of numbers that nobody sent, so a command that was changed under way."""
    changed_final_states: int
    """Told as final once, and as something else at the end."""
    without_final_state: int

    @property
    def broken(self) -> Mapping[str, int]:
        """Every promise, and how often it was broken."""
        return {name: getattr(self, name) for name in PROMISES}

    @property
    def rows(self) -> Mapping[str, int]:
        """For a table: every count by its name."""
        broken = {name.replace("_", " "): count for name, count in self.broken.items()}
        return {"accepted": self.accepted, **self.states, "executed": self.executed, **broken}


def settle(told: Iterable[Told], ran: Iterable[Execution]) -> Account:
    """The books of a campaign that is over."""
    commands = {each.number: each for each in told}
    runs = list(ran)
    began = Counter(run.number for run in runs if run.number is not None)
    finished = {run.number for run in runs if run.finished}

    def count(wrong: Callable[[Told], bool]) -> int:
        return sum(wrong(each) for each in commands.values())

    return Account(
        accepted=len(commands),
        states={state: count(lambda each, state=state: each.state == state) for state in FINAL},  # type: ignore[misc]
        executed=len(runs),
        duplicates=sum(times - 1 for times in began.values()),
        false_done=count(lambda each: each.state == "done" and each.number not in finished),
        false_not_run=count(lambda each: each.state in NEVER_RAN and each.number in began),
        wrong_results=count(lambda each: each.state == "done" and each.result != each.number),
        not_asked_for=sum(times for number, times in began.items() if number not in commands),
        changed_final_states=count(lambda each: each.answered in FINAL and each.state != each.answered),
        without_final_state=count(lambda each: each.state not in FINAL),
    )
