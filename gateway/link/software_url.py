"""The URLs of boards in software, for whoever checks the configuration. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.link import replay_url, virtual_url

PARSERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"virtual": virtual_url.parse, "replay": replay_url.parse}
)


def parse(url: str) -> object:
    """Raises ValueError with a sentence for what is wrong and what would be right."""
    return PARSERS[url.partition("://")[0]](url)
