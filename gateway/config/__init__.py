"""The configuration: what users write, checked at the gate; the only place, beside `web`, that knows pydantic."""

from gateway.config.load import DEFAULT_FILE, load
from gateway.config.model import KEYS, BoardConfig, Config, HttpConfig, OnConnectConfig
from gateway.config.values import Address

__all__ = ["DEFAULT_FILE", "KEYS", "Address", "BoardConfig", "Config", "HttpConfig", "OnConnectConfig", "load"]
