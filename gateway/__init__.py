"""A bridge between Arduino boards and HTTP."""

__version__ = "0.1.0"
