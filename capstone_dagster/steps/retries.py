"""A step is retried after a temporary fault: a limited number of times, with growing waits.

What trying again cannot mend is a failure as Dagster wants it: the reason in one sentence, no retry. Which faults
pass is in ``transient_faults``. Dagster's own policy is not used: it repeats errors of the program as well, and
its waits have no end. A run whose process is lost is tried again by Dagster's daemon (``deploy/dagster.yaml``).
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import raise_execution_interrupts
from dagster._core.execution.plan.active import ActiveExecution
from pydantic import Field

from capstone_dagster.steps.lost_spark import of_spark
from capstone_dagster.steps.spark_process import forget_dead_session
from capstone_dagster.steps.transient_faults import is_transient
from capstone_dagster.wording import printable
from spark_code.errors import ExpectedError

FIRST_SECONDS, LONGEST_SECONDS = 20.0, 300.0


@contextmanager
def final_failures() -> Iterator[None]:
    """Turn what is wrong with the data, its place or this machine into a failure that is not retried."""
    try:
        yield
    except ExpectedError as error:
        raise dg.Failure(printable(str(error)), allow_retries=False) from error


def backoff(retries_before: int, first_seconds: float = FIRST_SECONDS) -> float:
    """How long to wait: the double each time up to five minutes, and up to a half less by chance.

    So no wait is shorter than the one before as long as they grow, and what failed together does not return together.
    """
    longest = min(first_seconds * 2**retries_before, LONGEST_SECONDS)
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret depends on it


class Retries(dg.ConfigurableResource[None]):
    """How often a step is tried again that failed for no fault of its data or its code."""

    max_retries: int = Field(ge=0, description="CAPSTONE_MAX_RETRIES, unless given here for one run.")
    first_seconds: float = Field(
        default=FIRST_SECONDS, ge=0, description="The longest first wait; each one after it is twice as long."
    )

    @contextmanager
    def judging_failures(self, retries_before: int, step: dg.StepExecutionContext | None = None) -> Iterator[None]:
        """Around the work of a step: ask to be tried again where that may help, fail for good where it cannot.

        If Spark is lost, the files of the step are named.
        """
        with final_failures():
            try:
                yield
            except (dg.Failure, dg.RetryRequested):
                raise
            except Exception as error:
                # At once: a JVM that is gone cannot be asked later what it has said.
                fault = of_spark(error, step) or error
                passes = is_transient(fault)
                if fault is error and not passes:
                    raise
                fault = fault.with_traceback(error.__traceback__)
                if passes:
                    forget_dead_session()
                    fault = self.request(fault, retries_before)
                raise fault from fault.__cause__

    def request(self, fault: Exception, retries_before: int) -> Exception:
        """The request to try again; the fault itself if that was done often enough."""
        if retries_before >= self.max_retries:
            return fault
        request = dg.RetryRequested(self.max_retries, backoff(retries_before, self.first_seconds))
        request.__cause__ = fault
        return request


@contextmanager
def interruptible_waits() -> Iterator[None]:
    """For the duration, a run that waits to try a step again can be stopped.

    Dagster sleeps through it: whoever stops the run would wait for minutes.
    """
    sleep = ActiveExecution.sleep_til_ready

    def sleep_til_ready(self: ActiveExecution) -> None:
        seconds = self.sleep_interval()  # type: ignore[no-untyped-call]
        if seconds > 0:
            with raise_execution_interrupts():
                time.sleep(seconds)

    ActiveExecution.sleep_til_ready = sleep_til_ready  # type: ignore[method-assign]
    try:
        yield
    finally:
        ActiveExecution.sleep_til_ready = sleep  # type: ignore[method-assign]
