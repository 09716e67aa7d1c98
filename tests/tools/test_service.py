"""The unit and the rule, by the tools that will read them: systemd's own check and its own judgement, and udev's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.link.usb import KINDS
from gateway.tools.service import File, Plan, Service, install_plan, quoted, rules_text, unit_text

CONFIG = Path("/etc/gateway/config.yaml")
PYTHON = Path(sys.executable)
SYSTEM = Service(PYTHON, CONFIG, group="dialout")
EXPOSURE_LIMIT = 20  # tenths; systemd calls up to 2.0 of 10 safe for a service that has devices and the network


def settings(text: str) -> dict[str, list[str]]:
    """Every setting of a unit, with its values in their order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def verified(unit: str, folder: Path, *options: str) -> list[str]:
    """What systemd has to say about the unit: nothing, at best."""
    file = folder / "gateway.service"
    file.write_text(unit)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_LOG_LEVEL": "notice"}
    command = ["systemd-analyze", *options, "verify", "--man=no", str(file)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    return [line for line in said if "gateway.service" in line] + (
        [f"exit {done.returncode}"] if done.returncode else []
    )


@pytest.mark.process
@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    "service",
    [
        SYSTEM,
        Service(PYTHON, CONFIG, group=None),
        Service(PYTHON, CONFIG, group="dialout", exposed=(Path("/home/me/gateway"), Path("/home/my own/50% off: $1"))),
        Service(PYTHON, Path('/home/my "own"/con$fig \\ 100%.yaml'), group="dialout", ports=("/dev/ttymxc3",)),
    ],
)
def test_systemd_finds_no_fault_in_the_unit(service: Service, tmp_path: Path) -> None:
    assert verified(unit_text(service), tmp_path) == []


@pytest.mark.process
@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_no_fault_in_the_unit_of_a_user(tmp_path: Path) -> None:
    assert verified(unit_text(Service(PYTHON, CONFIG, user=True)), tmp_path, "--user") == []


@pytest.mark.process
@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [("DynamicUser=yes", "DynamicUsr=yes"), ("@system-service", "@systemservice"), (f"{PYTHON} -I", "/nowhere -I")],
)
def test_it_would_tell_of_a_fault(right: str, wrong: str, tmp_path: Path) -> None:
    unit = unit_text(SYSTEM)
    assert right in unit
    assert verified(unit.replace(right, wrong), tmp_path) != []


@pytest.mark.process
@pytest.mark.needs("systemd-analyze")
def test_systemd_calls_the_service_safe(tmp_path: Path) -> None:
    file = tmp_path / "gateway.service"
    file.write_text(unit_text(SYSTEM))
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_LIMIT}",
        "--no-pager",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_unit_is_one_that_the_service_manager_supervises() -> None:
    told = settings(unit_text(SYSTEM))
    assert told["Type"] == ["notify"]
    assert told["WatchdogSec"] == ["2min"]
    assert told["ExecStart"] == [f"{PYTHON} -I -m gateway run --config {CONFIG}"]
    assert (told["Restart"], told["RestartPreventExitStatus"]) == (["on-failure"], ["2"])
    assert told["DynamicUser"] == ["yes"]
    assert told["SupplementaryGroups"] == ["dialout"]
    assert told["StateDirectory"] == ["gateway"]
    assert told["DevicePolicy"] == ["closed"]
    assert told["ProtectHome"] == ["yes"]
    assert told["WantedBy"] == ["multi-user.target"]


def test_only_serial_ports_may_be_opened_those_of_the_boards_among_them() -> None:
    ports = (
        "/dev/ttymxc3",
        "/dev/ttyUSB0",
        "virtual://uno",
        "socket://lab:2000",
        "COM3",
        "/dev/mem",
        "/dev/../dev/sda1",
    )
    told = settings(unit_text(Service(PYTHON, CONFIG, ports=ports)))
    kinds = ["ttyACM", "ttyAMA", "ttyS", "ttyUSB", "ttymxc"]
    assert told["DeviceAllow"] == [f"char-{kind} rw" for kind in kinds]


def test_what_lies_in_a_home_directory_is_shown_to_it_alone() -> None:
    told = settings(unit_text(Service(PYTHON, CONFIG, exposed=(Path("/home/me/gateway"), Path("/root/x")))))
    assert told["ProtectHome"] == ["tmpfs"]
    assert told["BindReadOnlyPaths"] == ["/home/me/gateway", "/root/x"]


def test_the_service_of_a_user_leaves_out_what_only_the_systems_manager_can_do() -> None:
    told = settings(unit_text(Service(PYTHON, CONFIG, user=True, group="dialout", ports=("/dev/ttymxc3",))))
    assert not told.keys() & {"DynamicUser", "SupplementaryGroups", "DeviceAllow", "DevicePolicy", "ProtectSystem"}
    assert told["NoNewPrivileges"] == ["yes"]
    assert told["WantedBy"] == ["default.target"]


@pytest.mark.parametrize(
    ("path", "special", "written"),
    [
        ("/opt/gateway/bin/python", "$", "/opt/gateway/bin/python"),
        ("/home/my own", "", '"/home/my own"'),
        ("/100%", "", "/100%%"),
        ("/a$b", "$", "/a$$b"),
        ("/a$b", "", "/a$b"),
        ("/a:b", ":", '"/a\\:b"'),
        ('/a"b', "", '"/a\\"b"'),
        ("/a\\b", "", '"/a\\\\b"'),
    ],
)
def test_paths_are_quoted_as_units_want_it(path: str, special: str, written: str) -> None:
    assert quoted(Path(path), special=special) == written


def test_a_path_that_no_unit_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="without control characters"):
        unit_text(Service(PYTHON, Path("/a\nExecStartPre=/bin/evil")))


# ---- the rule ----

RULE = re.compile(
    r'(?:(?:[A-Z]+(?:\{\w+\})?)(?:==|!=|=|\+=|:=)"[^"]+"|ENV\{\w+\}="")'
    r'(?:, (?:(?:[A-Z]+(?:\{\w+\})?)(?:==|!=|=|\+=|:=)"[^"]+"|ENV\{\w+\}=""))*'
)
UDEV_READS_IT = """
mount --bind "$1" /etc/udev/rules.d && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev || exit
udevadm test -a add /sys/class/mem/null
"""


def complaints(rules: str, folder: Path) -> list[str]:
    """What udev has to say about the file, which it sees in a mount namespace of its own."""
    (folder / "90-gateway.rules").write_text(rules)
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", UDEV_READS_IT, "sh", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert any(line.startswith("Reading rules file:") and line.endswith("90-gateway.rules") for line in said), said
    return [line for line in said if re.search(r"90-gateway\.rules:\d+", line)]


@pytest.mark.process
@pytest.mark.needs("udevadm")
def test_udev_finds_no_fault_in_the_rule(tmp_path: Path) -> None:
    assert complaints(rules_text(), tmp_path) == []
    assert complaints(rules_text().replace("SUBSYSTEM!=", "SUBSYSTM!="), tmp_path) != []


def test_every_line_of_the_rule_is_one_and_every_jump_has_its_label() -> None:
    lines = [line for line in rules_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not RULE.fullmatch(line)] == []
    labels = set(re.findall(r'LABEL="(\w+)"', rules_text()))
    assert set(re.findall(r'GOTO="(\w+)"', rules_text())) == labels == {"gateway_board", "gateway_end"}


def test_the_rule_knows_every_board_that_the_gateway_knows() -> None:
    known = {
        (int(vendor, 16), int(product, 16))
        for vendor, products in re.findall(r'ATTRS\{idVendor\}=="(\w+)", ATTRS\{idProduct\}=="([\w|]+)"', rules_text())
        for product in products.split("|")
    }
    assert known == set(KINDS)


# ---- the plan ----


def test_the_system_gets_both_files_and_the_commands_that_put_them_in_force(tmp_path: Path) -> None:
    assert install_plan(SYSTEM, units=tmp_path, rules=tmp_path / "90.rules") == Plan(
        (File(tmp_path / "gateway.service", unit_text(SYSTEM)), File(tmp_path / "90.rules", rules_text())),
        (
            ("udevadm", "control", "--reload"),
            ("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=tty"),
            ("systemctl", "daemon-reload"),
            ("systemctl", "enable", "gateway.service"),
            ("systemctl", "restart", "gateway.service"),
        ),
    )


def test_a_user_gets_the_unit_alone(tmp_path: Path) -> None:
    service = Service(PYTHON, CONFIG, user=True)
    assert install_plan(service, units=tmp_path, rules=tmp_path / "90.rules") == Plan(
        (File(tmp_path / "gateway.service", unit_text(service)),),
        (
            ("systemctl", "--user", "daemon-reload"),
            ("systemctl", "--user", "enable", "gateway.service"),
            ("systemctl", "--user", "restart", "gateway.service"),
            ("loginctl", "enable-linger"),
        ),
    )
