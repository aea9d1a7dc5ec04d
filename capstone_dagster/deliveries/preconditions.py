"""What must hold before a delivery is worked on, as CAPSTONE_PRECONDITIONS says it for each exchange.

Whether an exchange has delivered, and whether its delivery is complete, is not asked here: that is known from
the files themselves (``raw_files``, ``deliveries.scan``). Each kind is in ``conditions``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

from capstone_dagster.deliveries.conditions import KINDS, Command, Precondition
from capstone_dagster.errors import ExpectedError
from spark_code.raw_files import SOURCES, Delivery, RawFolder

# How long a command may take. A sensor, whose tick ends after a minute, gives it less.
COMMAND_SECONDS = 60.0
_EXAMPLE = '{"NYSE": [{"minimum_bytes": 1000000}]}'


class UnmetPreconditionError(ExpectedError):
    """Deliveries that must not be worked on yet; says of each what is not met."""


@dataclass(frozen=True)
class Preconditions:
    """Those of every exchange that has any; all of an exchange's must hold."""

    by_exchange: tuple[tuple[str, tuple[Precondition, ...]], ...] = ()

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read the JSON of the setting; ValueError says what is wrong with it."""
        try:
            given = json.loads(value, object_pairs_hook=_each_once)
        except json.JSONDecodeError as error:
            raise ValueError(f"must be JSON like {_EXAMPLE}: {error}") from None
        if not isinstance(given, dict):
            raise ValueError(f"must be JSON like {_EXAMPLE}")  # noqa: TRY004 - as all parsers of settings
        return cls(tuple((exchange, _of_exchange(exchange, listed)) for exchange, listed in given.items()))

    def __str__(self) -> str:
        def as_json(condition: Precondition) -> dict[str, Any]:
            (setting,) = fields(condition)
            return {condition.kind: getattr(condition, setting.name)}

        return json.dumps({exchange: [as_json(each) for each in own] for exchange, own in self.by_exchange})

    @property
    def has_commands(self) -> bool:
        """Whether any of them is a command."""
        return any(isinstance(each, Command) for _, own in self.by_exchange for each in own)

    def unmet(self, delivery: Delivery, command_seconds: float = COMMAND_SECONDS) -> str | None:
        """What of the delivery's preconditions does not hold, in words; None if all do.

        All places and sizes are told. A command is asked only when they hold, and those before it: it may take
        long, and it may rely on them. A store that does not answer is a ``StorageError``.
        """
        exchange = delivery.source.exchange
        own = dict(self.by_exchange).get(exchange, ())
        asked = [each.unmet(delivery) for each in own if not isinstance(each, Command)]
        if told := [reason for reason in asked if reason]:
            return f"{exchange}: {' and '.join(told)}"
        asking = (each.unmet(delivery, command_seconds) for each in own if isinstance(each, Command))
        reason = next((reason for reason in asking if reason), None)
        return reason and f"{exchange}: {reason}"

    def unmet_of(self, deliveries: Sequence[Delivery], command_seconds: float = COMMAND_SECONDS) -> str | None:
        """The same of all deliveries of a day."""
        told = (self.unmet(delivery, command_seconds) for delivery in deliveries)
        return "; ".join(reason for reason in told if reason) or None


class GuardedRawFolder(RawFolder):
    """The raw folder for those who work on a day: it hands out nothing whose preconditions are not met."""

    def __init__(self, uri: str, preconditions: Preconditions) -> None:
        super().__init__(uri)
        self.preconditions = preconditions

    def deliveries(self, day: date) -> list[Delivery]:
        """The deliveries of all exchanges for a day; refused if they are missing, or not to be worked on yet."""
        found = super().deliveries(day)
        if unmet := self.preconditions.unmet_of(found):
            raise UnmetPreconditionError(
                f"preconditions of {day} are not met: {unmet}. "
                "Run the day again when they are, or change CAPSTONE_PRECONDITIONS"
            )
        return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that stands in it twice, one would get lost."""
    names = [name for name, _ in pairs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]} stands there twice")
    return dict(pairs)


def _of_exchange(exchange: str, listed: object) -> tuple[Precondition, ...]:
    known = [source.exchange for source in SOURCES]
    if exchange not in known:
        raise ValueError(f"{exchange!r} is no exchange; there are {', '.join(known)}")
    if not isinstance(listed, list):
        raise ValueError(f"{exchange}: must be a list like {_EXAMPLE}")  # noqa: TRY004 - the same
    made: list[Precondition] = []
    for each in listed:
        if not isinstance(each, dict) or len(each) != 1:
            raise ValueError(f'{exchange}: each must be of one kind, like {{"minimum_bytes": 1000000}}')
        ((kind, given),) = each.items()
        if kind not in KINDS:
            raise ValueError(f"{exchange}: {kind!r} is no kind of precondition; there are {', '.join(KINDS)}")
        try:
            made.append(KINDS[kind].parse(given))
        except ValueError as error:
            raise ValueError(f"{exchange}: {kind}: {error}") from None
    return tuple(made)
