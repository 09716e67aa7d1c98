"""Text from outside made safe to show: standard library only, open to every layer."""


def printable(text: str) -> str:
    """The text with every character that could move a cursor, end a line or turn the direction of writing as its
    Python escape, such as `\\x1b`; all else stays as it is."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
