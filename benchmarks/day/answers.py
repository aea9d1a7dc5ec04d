"""How a contestant is asked for a day: a line of JSON is the request, and a line of JSON the answer.

The real pipeline answers the same, but in a module of its own that any checkout can run.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spark_code.flow import STEPS
from spark_code.schemas import QUALITY

# Nobody else measures a day's quality.
MADE_BY_ALL = [step for step in STEPS if QUALITY not in step.makes]


class Clock:
    """The seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done in between."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def answer(run: Callable[..., dict[str, float]]) -> None:
    """Run each day that is asked for, until nobody asks any more."""
    for request in sys.stdin:
        print(json.dumps(run(**json.loads(request))), flush=True)  # noqa: T201 - the answer
