"""The command ``capstone``: the installed one, and what a call of it in this process gives."""

import sys
from collections.abc import Callable
from pathlib import Path

CAPSTONE = Path(sys.executable).with_name("capstone")
Run = Callable[..., tuple[int, str, str]]


def usage_error(err: str) -> str:
    """The line behind the usage; click draws no frame around it."""
    assert err.startswith("Usage: ")
    return err.splitlines()[-1]
