"""Preconditions of working on a delivery, which CAPSTONE_PRECONDITIONS sets for each exchange.

They do not check whether an exchange has delivered, or whether its delivery is complete: the files themselves show
that (``raw_files``, ``completeness``). The kinds of preconditions are in ``precondition_kinds``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

from capstone_dagster.deliveries.precondition_kinds import KINDS, Command, Precondition
from spark_code.errors import ExpectedError
from spark_code.raw_files import SOURCES, Delivery, RawFolder

# How long a command may take. A sensor gives it less, because a tick ends after a minute.
COMMAND_SECONDS = 60.0
_EXAMPLE = '{"NYSE": [{"minimum_bytes": 1000000}]}'


class UnmetPreconditionError(ExpectedError):
    """Deliveries must not be worked on yet; the message names what each of them does not meet."""


@dataclass(frozen=True)
class Preconditions:
    """The preconditions of each exchange that has any; all of an exchange's must hold."""

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
        """Say which of the delivery's preconditions do not hold; None if all do.

        All locations and sizes are checked. A command runs only if they and the commands before it hold: it may take
        long, and it may rely on them. A store that does not answer is a ``StorageError``.
        """
        exchange = delivery.source.exchange
        own = dict(self.by_exchange).get(exchange, ())
        checked = [each.unmet(delivery) for each in own if not isinstance(each, Command)]
        if reasons := [reason for reason in checked if reason]:
            return f"{exchange}: {' and '.join(reasons)}"
        commands = (each.unmet(delivery, command_seconds) for each in own if isinstance(each, Command))
        reason = next((reason for reason in commands if reason), None)
        return reason and f"{exchange}: {reason}"

    def unmet_of(self, deliveries: Sequence[Delivery], command_seconds: float = COMMAND_SECONDS) -> str | None:
        """The same for all deliveries of a day."""
        reasons = (self.unmet(delivery, command_seconds) for delivery in deliveries)
        return "; ".join(reason for reason in reasons if reason) or None


class GuardedRawFolder(RawFolder):
    """The raw folder for runs: it refuses deliveries until their preconditions hold."""

    def __init__(self, uri: str, preconditions: Preconditions) -> None:
        super().__init__(uri)
        self.preconditions = preconditions

    def deliveries(self, day: date) -> list[Delivery]:
        """The deliveries of all exchanges for a day; an error if one is missing, or if a precondition does not hold."""
        found = super().deliveries(day)
        if unmet := self.preconditions.unmet_of(found):
            raise UnmetPreconditionError(
                f"preconditions of {day} are not met: {unmet}. "
                "Run the day again when they are, or change CAPSTONE_PRECONDITIONS"
            )
        return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read a JSON object, and refuse a name that it has twice: one of the two would get lost."""
    names = [name for name, _ in pairs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]} appears twice")
    return dict(pairs)


def _of_exchange(exchange: str, listed: object) -> tuple[Precondition, ...]:
    known = [source.exchange for source in SOURCES]
    if exchange not in known:
        raise ValueError(f"{exchange!r} is not an exchange; the exchanges are {', '.join(known)}")
    if not isinstance(listed, list):
        raise ValueError(f"{exchange}: must be a list like {_EXAMPLE}")  # noqa: TRY004 - the same
    made: list[Precondition] = []
    for each in listed:
        if not isinstance(each, dict) or len(each) != 1:
            raise ValueError(f'{exchange}: each must be of one kind, like {{"minimum_bytes": 1000000}}')
        ((kind, given),) = each.items()
        if kind not in KINDS:
            raise ValueError(f"{exchange}: {kind!r} is not a kind of precondition; the kinds are {', '.join(KINDS)}")
        try:
            made.append(KINDS[kind].parse(given))
        except ValueError as error:
            raise ValueError(f"{exchange}: {kind}: {error}") from None
    return tuple(made)
