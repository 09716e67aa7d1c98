"""The single values of the configuration: what they look like in the file and what they become.

Each type is a pydantic annotation: its parser gives the sentence that a user reads, its JSON Schema what an editor
checks.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainValidator, StringConstraints, WithJsonSchema

from gateway import duration

BOARD_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,15}$"
PORT_SCHEMES = ("virtual", "replay", "socket", "rfc2217")
"""The URL schemes that a port may have; anything without one is a device's name."""

DEFAULT_BAUD = 250_000  # 0 % error on 16 and 8 MHz AVRs
MIN_BAUD = 9_600
MAX_BAUD = 2_000_000  # the fastest of a 16 MHz AVR
TOUCH_BAUD = 1_200  # opening a native USB board at this rate starts its bootloader
INEXACT_BAUDS = (230_400, 460_800, 921_600)  # 3.5 % off or more on a 16 MHz AVR
BOARD_ID_DIGITS = 8
BOARD_ID_PATTERN = r"^[0-9a-f]{8}$"
MAX_TCP_PORT = 65_535
MIN_RECORD_BYTES, MAX_RECORD_BYTES = 4_000_000, 1_000_000_000_000
SIZE_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,3})?(MB|GB)$"
SIZE_UNITS = {"MB": 10**6, "GB": 10**9}
MAX_SHOWN = 60  # characters of a wrong value in a message

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `host` without brackets; port 0 takes any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """True when only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def shown(value: object) -> str:
    """A wrong value as YAML and JSON write it, cut where it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _address(value: object) -> Address:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["port"]) > MAX_TCP_PORT:
        raise ValueError(f'must be HOST:PORT, such as 127.0.0.1:8080 or "[::1]:8080", not {shown(value)}')
    if match["ipv6"]:
        ipaddress.IPv6Address(match["ipv6"])  # its ValueError says what is wrong with it
    elif not _is_host(match["host"]):
        raise ValueError(
            f"{match['host']} is neither an IP address nor a host name; must be HOST:PORT, such as 127.0.0.1:8080"
        )
    return Address(match["ipv6"] or match["host"], int(match["port"]))


def _is_host(text: str) -> bool:
    """False for numbers that are no full IPv4 address, too: resolvers take 12 for 0.0.0.12, which nobody means."""
    if not _NUMBER.fullmatch(text.rpartition(".")[2]):
        return _HOST_NAME.fullmatch(text.lower()) is not None
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _baud(value: object) -> int | None:
    if value == "auto":
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be auto or a whole number such as {DEFAULT_BAUD}, not {shown(value)}")
    if value == TOUCH_BAUD:
        raise ValueError(f"{TOUCH_BAUD} starts the bootloader of boards with native USB; take {DEFAULT_BAUD} or 115200")
    if value in INEXACT_BAUDS:
        raise ValueError(f"an Arduino can't make {value} exactly enough; take {DEFAULT_BAUD} or 115200")
    if not MIN_BAUD <= value <= MAX_BAUD:
        raise ValueError(f"must be from {MIN_BAUD} to {MAX_BAUD}, not {value}")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, str):
        return duration.parse(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"needs a unit: {value:g}ms or {value:g}s")
    raise ValueError(f"must be a duration such as 500ms or 1.5s, not {shown(value)}")


def _size(value: object) -> int:
    """Bytes."""
    if not isinstance(value, str) or not re.fullmatch(SIZE_PATTERN, value):
        raise ValueError(f"must be a size such as 64MB or 1GB, not {shown(value)}")
    size = round(float(value[:-2]) * SIZE_UNITS[value[-2:]])
    if not MIN_RECORD_BYTES <= size <= MAX_RECORD_BYTES:
        raise ValueError(f"must be from 4MB to 1000GB, not {value}")
    return size


def _board_id(value: object) -> object:
    """Eight digits without a letter are a number in YAML, whose leading zeros are lost."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:0{BOARD_ID_DIGITS}d}"
    if not isinstance(value, str) or not re.fullmatch(BOARD_ID_PATTERN, value.lower()):
        raise ValueError(
            f'must be {BOARD_ID_DIGITS} hexadecimal digits in quotes, such as "1a2b3c4d", not {shown(value)}'
        )
    return value.lower()


def _usb_text(value: object) -> object:
    """As the system lists it; a number would have lost its leading zeros."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("must be text in quotes, as `gateway ports` shows it: numbers lose their leading zeros")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text as `gateway ports` shows it, not {shown(value)}")
    return value.strip()


def _port(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must name a port, such as /dev/ttyACM0, COM3 or virtual://uno, or be auto")
    scheme, separator, rest = value.partition("://")
    if separator and scheme not in PORT_SCHEMES:
        near = get_close_matches(scheme, PORT_SCHEMES, n=1)
        cure = f"did you mean {near[0]}://{rest}?" if near else f"known: {', '.join(PORT_SCHEMES)}"
        raise ValueError(f"{scheme}:// opens nothing; {cure}")
    return value


def _host_names(value: object) -> object:
    """A list as a tuple; a text, as environment variables are, is split at its commas, with or without the brackets
    and quotes of a YAML list: no host name holds any of them."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    text = value.strip()
    items = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return tuple(item.strip().strip("\"'") for item in items.split(",")) if items.strip() else ()


def _host_name(value: str) -> str:
    name = value.strip().lower()
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"must be a host name without scheme or port, such as gateway.example, not {shown(value)}")
    return name


def _directory(value: object) -> Path:
    return _path(value, "a directory")


def _file(value: object) -> Path:
    path = _path(value, "a file")
    if not path.name:
        raise ValueError(f"must be a file, not {shown(value)}")
    return path


def _path(value: object, kind: str) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError(f"must be {kind}, not {shown(value)}")
    return Path(value).expanduser()


def _listed(value: object) -> object:
    """Lists as tuples, which can't be changed."""
    return tuple(value) if isinstance(value, list) else value


def _scalar(value: object) -> bool | int | float | str:
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"must be true, false, a number or text, not {shown(value)}")


def _optional_scalar(value: object) -> bool | int | float | str | None:
    return None if value is None else _scalar(value)


def _arguments(value: object) -> dict[str, bool | int | float | str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"must hold arguments by name, not {shown(value)}")
    return {str(name): _scalar(argument) for name, argument in value.items()}


Item = TypeVar("Item")
BoardName = Annotated[str, StringConstraints(pattern=BOARD_NAME_PATTERN)]
Port = Annotated[str, AfterValidator(_port)]
BoardId = Annotated[str, PlainValidator(_board_id), WithJsonSchema({"type": "string", "pattern": BOARD_ID_PATTERN})]
UsbText = Annotated[str, PlainValidator(_usb_text), WithJsonSchema({"type": "string"})]
Seconds = Annotated[float, BeforeValidator(_seconds), WithJsonSchema({"type": "string", "pattern": duration.PATTERN})]
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN})]
HostNames = Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], BeforeValidator(_host_names)]
ListOf = Annotated[tuple[Item, ...], BeforeValidator(_listed)]
OptionalScalar = Annotated[
    bool | int | float | str | None,
    PlainValidator(_optional_scalar, json_schema_input_type=bool | int | float | str | None),
]
Arguments = Annotated[
    Mapping[str, bool | int | float | str] | None,
    PlainValidator(_arguments, json_schema_input_type=dict[str, bool | int | float | str] | None),
]
File = Annotated[Path, PlainValidator(_file, json_schema_input_type=str)]
Directory = Annotated[Path, PlainValidator(_directory, json_schema_input_type=str)]
Listen = Annotated[
    Address,
    PlainValidator(_address),
    WithJsonSchema({"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"}),
]
Baud = Annotated[
    int | None,
    PlainValidator(_baud),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "auto"},
                {"type": "integer", "minimum": MIN_BAUD, "maximum": MAX_BAUD, "not": {"enum": list(INEXACT_BAUDS)}},
            ]
        }
    ),
]
