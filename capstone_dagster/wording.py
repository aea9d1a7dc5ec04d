"""Text for people: foreign text made safe to show, long lists cut short, exit codes in words.

A file name, a line or the output of another program may contain characters that control a terminal or reorder what
people read. So print for people with ``say``, and give logs and metadata ``printable`` text.
"""

import re
import signal
from collections.abc import Sequence

import click

from spark_code.locations import shown
from spark_code.wording import counted


def printable(text: str) -> str:
    """The text with other control characters than line ends and tabs escaped as Python does."""
    return "".join(character if character in "\n\t" else shown(character) for character in text)


def literal(text: str) -> str:
    """The text for where the UI takes it for Markdown: nothing in it is an image, a link or HTML, and fetched."""
    return re.sub(r"[\\\[<]", r"\\\g<0>", printable(text))


def say(text: object, *, err: bool = False) -> None:
    """Print to the terminal."""
    click.echo(printable(str(text)), err=err)


def few(sentences: Sequence[str], most: int, between: str = "; ") -> str:
    """Join the first of the sentences, and say how many more there are."""
    more = [f"and {len(sentences) - most} more"] if len(sentences) > most else []
    return between.join([*sentences[:most], *more])


def lasting(seconds: float) -> str:
    """How long something takes, in seconds if that is less than a minute."""
    return counted(round(seconds), "second") if seconds < 60 else counted(round(seconds / 60), "minute")


def end_in_words(exit_code: int) -> str:
    """How a process ended, from its exit code as Python or a shell gives it."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    known = number in {*signal.Signals}
    return f"was killed by {signal.Signals(number).name}" if known else f"ended with exit code {exit_code}"
