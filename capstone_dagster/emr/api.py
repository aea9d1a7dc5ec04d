"""Calls of the EMR API: retried with jitter, but never repeated blindly if something must happen only once.

``cluster``, ``steps`` and ``launcher`` make the calls. boto3's own retries are off: they would repeat a submission
whose answer was lost.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster._core.errors import raise_execution_interrupts

from capstone_dagster.steps.transient_faults import boto_will_pass
from spark_code.errors import ExpectedError

_T = TypeVar("_T")
Answer = dict[str, Any]

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 20.0
_HURRIED_SECONDS = 60.0


class EmrApiError(ExpectedError):
    """EMR refused a call, or gave no answer for too long; the cause is the error of boto3."""


def pause(seconds: float) -> None:
    """Sleep; if the run is asked to stop, raise the interruption at once."""
    with raise_execution_interrupts():
        time.sleep(seconds)


def jittered(seconds: float) -> float:
    """About so many seconds, so that runs that began together do not call EMR together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret depends on it


@dataclass(frozen=True)
class Emr:
    """The EMR of one region."""

    region: str
    patience_seconds: float
    """How long to go on trying after throttling, server errors and lost connections."""
    is_hurried: bool = False
    """Whether that is less than the setting says."""
    pause: Callable[[float], None] = pause
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)

    @cached_property
    def _client(self) -> Any:
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30)
        return boto3.Session(region_name=self.region).client("emr", config=once)

    def steadfast(self, *, is_hurried: bool = True) -> Self:
        """The same for clean-up, which no interruption ends; less patient if somebody waits for the run to stop."""
        return replace(self.within(_HURRIED_SECONDS) if is_hurried else self, pause=time.sleep)

    def within(self, seconds: float) -> Self:
        """The same, but not more patient than that."""
        return self if self.patience_seconds <= seconds else replace(self, patience_seconds=seconds, is_hurried=True)

    def ask(self, operation: str, **request: Any) -> Answer:
        """Make a call that can safely be repeated."""
        return self._outlasting(operation, lambda _: self._once(operation, request))

    def submit(self, operation: str, find: Callable[[], _T | None], made: Callable[[Answer], _T], **request: Any) -> _T:
        """Make a call whose effect must happen once: before repeating it, look whether it has happened."""

        def attempt(number: int) -> _T:
            found = find() if number else None
            return found if found is not None else made(self._once(operation, request))

        return self._outlasting(operation, attempt)

    def pages(self, operation: str, member: str, **request: Any) -> Iterator[Answer]:
        """All members of a paginated list."""
        while True:
            answer = self.ask(operation, **request)
            yield from answer[member]
            if not answer.get("Marker"):
                return
            request["Marker"] = answer["Marker"]

    def _once(self, operation: str, request: Answer) -> Answer:
        answer: Answer = getattr(self._client, operation)(**request)
        return answer

    def _outlasting(self, operation: str, attempt: Callable[[int], _T]) -> _T:
        began, seconds, number = self.clock(), _FIRST_PAUSE_SECONDS, 0
        while True:
            try:
                return attempt(number)
            except (ClientError, BotoCoreError) as error:
                if not boto_will_pass(error):
                    raise EmrApiError(f"EMR refused {operation}: {_reason(error)}") from error
                waited = self.clock() - began
                if waited + seconds > self.patience_seconds:
                    setting = "; CAPSTONE_EMR_PATIENCE_MINUTES says how long to go on asking"
                    raise EmrApiError(
                        f"EMR gave no answer to {operation} for {waited:.0f} s, last: {_reason(error)}"
                        f"{'' if self.is_hurried else setting}"
                    ) from error
            self.pause(jittered(seconds))
            seconds, number = min(seconds * 2, _LONGEST_PAUSE_SECONDS), number + 1


def _reason(error: ClientError | BotoCoreError) -> str:
    """The reason alone, without the sentence that boto3 puts around it."""
    if not isinstance(error, ClientError):
        return str(error)
    return f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"
