"""What the ticks of all sensors share: the clock and the cursor."""

from collections.abc import Callable
from typing import Self

from pydantic import BaseModel, ValidationError

Clock = Callable[[], float]
"""``time.time``, or ``time.monotonic`` to measure how long a tick takes; tests pass their own."""


class SensorCursor(BaseModel, frozen=True):
    """What a sensor remembers from tick to tick. The next release reads this one's JSON, so do not rename fields."""

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """Read a cursor; None if there is none, or if it cannot be read."""
        try:
            return cls.model_validate_json(text or "")
        except ValidationError:
            return None
