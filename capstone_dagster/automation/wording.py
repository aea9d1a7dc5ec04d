"""How many findings are told in few words, so that a log or the tick of a sensor stays short."""

from collections.abc import Sequence


def few(told: Sequence[str], most: int, between: str = "; ") -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(told) - most} more"] if len(told) > most else []
    return between.join([*told[:most], *more])
