"""Text that came from outside, made fit to be shown.

A file name, a line or the words of another program may hold what a terminal obeys or what changes the order of what
people read. So whatever prints for people does it with ``say``, and logs and metadata take ``printable`` text.
"""

import click

from spark_code.locations import shown


def printable(text: str) -> str:
    """The text with line ends and tabs as they are, and other control characters written out as Python does."""
    return "".join(character if character in "\n\t" else shown(character) for character in text)


def say(text: object, *, err: bool = False) -> None:
    """Print to the terminal."""
    click.echo(printable(str(text)), err=err)
