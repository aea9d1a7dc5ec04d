"""What people read: text of others made fit to be shown, long lists cut short, exit codes in words.

A file name, a line or the words of another program may hold what a terminal obeys or what changes the order of what
people read. So whatever prints for people does it with ``say``, and logs and metadata take ``printable`` text.
"""

import signal
from collections.abc import Sequence

import click

from spark_code.locations import shown


def printable(text: str) -> str:
    """The text with line ends and tabs as they are, and other control characters written out as Python does."""
    return "".join(character if character in "\n\t" else shown(character) for character in text)


def say(text: object, *, err: bool = False) -> None:
    """Print to the terminal."""
    click.echo(printable(str(text)), err=err)


def few(sentences: Sequence[str], most: int, between: str = "; ") -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(sentences) - most} more"] if len(sentences) > most else []
    return between.join([*sentences[:most], *more])


def end_in_words(exit_code: int) -> str:
    """How a process has ended, by its exit code as Python or a shell has it."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    known = number in {*signal.Signals}
    return f"was killed by {signal.Signals(number).name}" if known else f"ended with exit code {exit_code}"
