"""Text that came from outside, made fit to be shown.

A file name, a line or the words of another program may hold what a terminal obeys or what changes the order of what
people read. So whatever prints for people does it with ``say``, and logs and metadata take ``printable`` text.
"""

import click


def printable(text: str) -> str:
    """The text with line ends and tabs as they are, and other control characters written out as Python does."""
    return "".join(character if _is_harmless(character) else _written_out(character) for character in text)


def say(text: object, *, err: bool = False) -> None:
    """Print to the terminal."""
    click.echo(printable(str(text)), err=err)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in "\n\t"


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()
