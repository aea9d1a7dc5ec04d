"""Errors that trying again cannot mend, as Dagster wants them: the reason in one sentence, no retry.

Around the work of a step, ``retries`` has first asked whether they pass by themselves.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from capstone_dagster.errors import ExpectedError
from capstone_dagster.plain_text import printable
from spark_code.lake import LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, UnreadableNameError


@contextmanager
def final_failures() -> Iterator[None]:
    """Turn what is wrong with the data, its place or this machine into a failure that is not retried."""
    try:
        yield
    except (ExpectedError, LakeError, MissingDeliveryError, UnreadableNameError, StorageError) as error:
        raise dg.Failure(printable(str(error)), allow_retries=False) from error
