"""What a service's own user can reach, with real files and permissions; other folders play the home directories."""

import sys
from pathlib import Path

import pytest

from gateway.tools import reach
from gateway.tools.reach import Reach, ServiceError, check_reach, devices_of, reach_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory above the users' own; /tmp, where the test's files lie, is one like any other."""
    monkeypatch.setattr(reach, "HOMES", (tmp_path / "home",))
    monkeypatch.setattr(reach, "EMPTIED", (tmp_path / "tmp",))
    (tmp_path / "home/me").mkdir(parents=True)
    (tmp_path / "home/me").chmod(0o700)
    return tmp_path / "home"


def file_in(folder: Path, name: str = "config.yaml", *, mode: int = 0o644) -> Path:
    """A file that its folder lets strangers come to."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    file = folder / name
    file.touch()
    file.chmod(mode)
    return file


@pytest.mark.process
def test_the_interpreter_tells_where_it_finds_the_gateway(home: Path) -> None:
    config = file_in(home.parent)
    found = reach_of(Path(sys.executable), config)
    package = Path(reach.__file__).parents[1]
    assert {Path(sys.prefix), package / "cli/__init__.py", config} <= set(found.needed)
    assert found.exposed == ()


@pytest.mark.process
def test_an_interpreter_that_knows_the_gateway_only_from_here_is_refused(home: Path) -> None:
    python = home / "me/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    python.chmod(0o755)
    with pytest.raises(ServiceError, match=r"finds the gateway from here only \(ModuleNotFoundError: .* virtual envir"):
        reach_of(python)


def test_of_home_directories_the_outermost_trees_are_exposed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = home / "me/gateway"
    link = file_in(home.parent / "opt", "link")
    link.unlink()
    link.symlink_to(home / "you")
    monkeypatch.setattr(
        reach,
        "_asked",
        lambda _python: (checkout, checkout / ".venv/lib", Path("/usr/lib/python3"), home / "me/python"),
    )
    found = reach_of(Path("python"), checkout / "config.yaml", link)
    assert found.exposed == (checkout, home / "me/python", home / "you")


def test_what_lies_above_an_exposed_tree_may_be_closed(home: Path) -> None:
    config = file_in(home / "me/gateway")
    check_reach(Reach((config,), (home / "me/gateway",)))
    with pytest.raises(ServiceError, match=r"may not read \S+: "):
        check_reach(Reach((config,), ()))


@pytest.mark.parametrize(("closed", "cure"), [("config.yaml", "chmod o+r "), ("", "chmod o+rx ")])
def test_what_strangers_may_not_read_is_named_with_the_cure(home: Path, closed: str, cure: str) -> None:
    config = file_in(home / "me/gateway")
    path = home / "me/gateway" / closed
    path.chmod(0o750 if path.is_dir() else 0o640)
    with pytest.raises(ServiceError, match=r"which may not read .* \(or --user, to run it under yours\)") as caught:
        check_reach(Reach((config,), (home / "me/gateway",)))
    assert f"{path}: sudo {cure}{path} " in str(caught.value)


def test_a_directory_on_the_way_need_not_be_listed_one_that_is_needed_must(home: Path) -> None:
    packages = home / "me/gateway/lib/packages"
    file_in(packages)
    packages.parent.chmod(0o711)
    check_reach(Reach((packages,), (home / "me/gateway/lib",)))
    packages.chmod(0o711)
    with pytest.raises(ServiceError, match=r"may not read \S+packages: "):
        check_reach(Reach((packages,), (home / "me/gateway/lib",)))


def test_what_lies_in_a_directory_that_is_emptied_is_refused(home: Path) -> None:
    config = file_in(home.parent / "tmp")
    with pytest.raises(
        ServiceError, match=r"config\.yaml lies in \S+/tmp, which no service sees .* in /opt for instance"
    ):
        check_reach(Reach((config,), ()))


def test_devices_are_known_by_their_drivers_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    assert devices_of([str(tmp_path / "link"), "virtual://uno", "/dev/ttyACM7"]) == (
        *("/dev/null", "virtual://uno", "/dev/ttyACM7"),
    )
