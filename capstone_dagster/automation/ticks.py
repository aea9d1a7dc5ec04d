"""What the ticks of all sensors share: the clock and the cursor."""

import json
from collections.abc import Callable
from typing import Self

from pydantic import BaseModel

Clock = Callable[[], float]
"""``time.time``, or ``time.monotonic`` to measure how long a tick takes; tests pass their own."""


class SensorCursor(BaseModel, frozen=True):
    """What a sensor remembers from tick to tick. The next release reads this one's JSON, so do not rename fields."""

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """Read a cursor; None if there is none, or if it cannot be read."""
        try:
            return cls.model_validate(json.loads(text or ""))
        except ValueError:  # no JSON, or other fields
            return None

    def __str__(self) -> str:
        # Not by pydantic, which refuses names of files that are no UTF-8.
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"))
