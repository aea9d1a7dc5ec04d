"""How often people may try a password: after a few wrong ones they wait, longer with each, but never for ever.

A try counts for the name and for the address it comes from. A browser that has signed in before counts for itself, so
it is never locked out by wrong passwords that others try for the user's name.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_FREE = 5
_LONGEST_WAIT = 300.0
# Without a wrong password for this long, the earlier ones are forgotten.
_FORGOTTEN_AFTER = 3600.0
# At most so many names and addresses are remembered; the oldest goes first.
_MOST_KEYS = 10_000


@dataclass
class _Wrong:
    count: int
    last: float

    def until(self) -> float:
        """When the next try is taken."""
        if self.count < _FREE:
            return self.last
        return self.last + min(2.0 ** min(self.count - _FREE, 20), _LONGEST_WAIT)


class Tries:
    """Wrong passwords by key: a name, an address, or a browser."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """The seconds until the next try with these keys is taken; 0: now."""
        now = self._clock()
        return max(0.0, max((self._wrong[key].until() - now for key in keys if key in self._wrong), default=0.0))

    def was_wrong(self, *keys: str) -> None:
        """Count a wrong password."""
        now = self._clock()
        for key in keys:
            before = self._wrong.pop(key, None)
            count = before.count if before and now - before.last < _FORGOTTEN_AFTER else 0
            self._wrong[key] = _Wrong(count + 1, now)
        while len(self._wrong) > _MOST_KEYS:
            self._wrong.popitem(last=False)

    def was_right(self, *keys: str) -> None:
        """Forget the wrong ones before a right one."""
        for key in keys:
            self._wrong.pop(key, None)
