"""A port on loan from the gateway: given back whatever happens, and waited for as long as that makes sense."""

from typing import Any, cast

import pytest

from gateway.errors import GatewayError
from gateway.tools import lease
from gateway.tools.client import GatewayClient, RequestRefused


class ScriptedGateway:
    """Notes what is asked of it; `states` are what its board is in, one for each look, the last for ever."""

    def __init__(self, *states: str, reason: str | None = None, refuses: str = "") -> None:
        self.asked: list[str] = []
        self._states = list(states)
        self._reason = reason
        self._refuses = refuses

    def post(self, path: str, *, query: dict[str, str] | None = None) -> None:
        self.asked.append(" ".join([path, *(f"{name}={value}" for name, value in (query or {}).items())]))
        if self._refuses and path.endswith(self._refuses):
            raise RequestRefused(503, "board-offline", f"will not {self._refuses}")

    def board(self, name: str) -> dict[str, Any]:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {"name": name, "state": state, "reason": self._reason if state == "offline" else None}

    @property
    def client(self) -> GatewayClient:
        return cast(GatewayClient, self)


class Hurried:
    """A clock that goes on a second at each look."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def monotonic(self) -> float:
        self._now_s += 1.0
        return self._now_s

    def time(self) -> float:
        return 0.0


RELEASE, RESUME = "boards/uno/release state=flashing for=2m", "boards/uno/resume"


def test_the_port_is_given_back() -> None:
    gateway = ScriptedGateway()
    with lease.lent(gateway.client, "uno"):
        assert gateway.asked == [RELEASE]
    assert gateway.asked == [RELEASE, RESUME]


@pytest.mark.parametrize("error", [GatewayError("it failed"), KeyboardInterrupt()])
def test_the_port_is_given_back_after_a_failure_which_is_what_is_told(error: BaseException) -> None:
    for refuses in ("", "resume"):
        gateway = ScriptedGateway(refuses=refuses)
        with pytest.raises(type(error)) as caught, lease.lent(gateway.client, "uno"):
            raise error
        assert caught.value is error
        assert gateway.asked == [RELEASE, RESUME]


def test_a_port_that_is_not_lent_is_not_used() -> None:
    gateway = ScriptedGateway(refuses="release")
    with pytest.raises(RequestRefused, match="will not release"), lease.lent(gateway.client, "uno"):
        raise AssertionError("the port is not ours")
    assert gateway.asked == [RELEASE]


@pytest.mark.parametrize(
    ("states", "reason", "found"),
    [
        (("flashing", "connecting", "online"), None, "online"),
        (("connecting", "degraded"), None, "degraded"),
        (("connecting", "offline"), "wrong_sketch", "offline"),
        (("offline", "offline", "connecting", "online"), "port_missing", "online"),
    ],
)
def test_the_board_is_back_when_it_is_known_what_became_of_it(
    states: tuple[str, ...], reason: str | None, found: str
) -> None:
    assert lease.wait_back(ScriptedGateway(*states, reason=reason).client, "uno")["state"] == found


def test_a_board_that_does_not_come_back_is_told_with_what_looks_why() -> None:
    with pytest.raises(GatewayError, match="has not found the board for 30 s; gateway doctor uno looks why"):
        lease.wait_back(ScriptedGateway("connecting").client, "uno", clock=Hurried())
