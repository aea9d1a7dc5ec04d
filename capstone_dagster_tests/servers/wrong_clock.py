"""Processes whose clock is wrong, by libfaketime where it is installed."""

from pathlib import Path

import pytest

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

needs_wrong_clock = pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime: sudo apt-get install -y libfaketime")


def wrong_clock(offset: str) -> dict[str, str]:
    """Variables of a process whose clock is ahead by ``+3d``, or behind by ``-3d``; that of the disk is right."""
    return {
        "LD_PRELOAD": f"{_LIBRARIES[0]}",
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
