"""Numbers and foreign names in sentences for people."""


def counted(number: int, what: str) -> str:
    """A number of things: 1 row, 1,000 rows."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shortened(text: str, length: int) -> str:
    """The text, cut off after so many characters."""
    return text if len(text) <= length else f"{text[:length]}..."
