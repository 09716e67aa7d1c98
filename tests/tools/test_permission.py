"""What gives a user permission to open a port: the command fits the port, the user, and what is in the way."""

import os
from types import SimpleNamespace

import pytest

from gateway.tools.permission import how_to_permit

pytestmark = pytest.mark.needs("posix")

DIALOUT = 20


@pytest.fixture(autouse=True)
def _ann(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without groups, on a machine with one for serial ports."""
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: SimpleNamespace(pw_name="ann"))
    monkeypatch.setattr(os, "getgroups", lambda: [1000])
    group_is(monkeypatch, members=[])


def group_is(monkeypatch: pytest.MonkeyPatch, *, members: list[str]) -> None:
    monkeypatch.setattr("grp.getgrgid", lambda _gid: SimpleNamespace(gr_name="dialout", gr_mem=members))


def port_is(monkeypatch: pytest.MonkeyPatch, *, mode: int, group: int = DIALOUT) -> None:
    monkeypatch.setattr(os, "stat", lambda _path: SimpleNamespace(st_mode=mode, st_gid=group))


def test_a_port_that_a_group_may_open_wants_membership(monkeypatch: pytest.MonkeyPatch) -> None:
    port_is(monkeypatch, mode=0o660)
    assert how_to_permit("/dev/ttyACM0") == "sudo usermod -aG dialout ann, then log out and in again"


def test_a_new_member_has_to_log_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port_is(monkeypatch, mode=0o660)
    group_is(monkeypatch, members=["ann"])
    assert how_to_permit("/dev/ttyACM0").startswith("log out and in again: ann is in the group dialout")


@pytest.mark.parametrize(("mode", "group"), [(0o600, DIALOUT), (0o640, DIALOUT), (0o660, 0)])
def test_a_port_that_no_group_may_open_wants_a_rule(monkeypatch: pytest.MonkeyPatch, mode: int, group: int) -> None:
    """Membership would not help; and nobody is to become a member of root."""
    port_is(monkeypatch, mode=mode, group=group)
    cure = how_to_permit("/dev/ttyACM0", usb_ids="2341:0043")
    assert 'SUBSYSTEM=="tty", ATTRS{idVendor}=="2341", GROUP="dialout", MODE="0660"' in cure
    assert "sudo usermod -aG dialout ann" in cure
    assert "ATTRS" not in how_to_permit("/dev/ttyS0")


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    port_is(monkeypatch, mode=0o660)
    assert how_to_permit("/dev/ttyACM0").startswith("sudo usermod -aG dialout $USER")


def test_a_port_that_is_not_there() -> None:
    assert how_to_permit("/dev/ttyNOTHERE7") == "sudo usermod -aG dialout ann, then log out and in again"
