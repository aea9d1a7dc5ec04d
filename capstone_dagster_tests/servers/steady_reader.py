"""A reader that looks at published tables all the time, while something happens to those who write them."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.platform import Platform, Rows
from spark_code.schemas import Table


@contextmanager
def reading(
    platform: Platform, day: date, allowed: Mapping[Table, Sequence[Rows]], tally: Tally
) -> Iterator[list[int]]:
    """Read the tables over and over: every look must show one of the allowed states, in files of one version.

    Yields how many rows each look has found.
    """
    stop, odd, looks, published = threading.Event(), list[object](), list[int](), set[Table]()

    def look_at(table: Table) -> None:
        before = platform.manifest(table, day)
        rows = platform.rows(table, day) if before else []
        tally.compare(rows, *allowed[table])
        # What was published once stays so.
        assert all(before.version in path for path in before.paths) if before else table not in published
        published.update({table} if before else ())
        looks.append(len(rows))

    def look() -> None:
        while not stop.is_set():
            for table in allowed:
                try:
                    look_at(table)
                except Exception as error:  # noqa: BLE001 -- shown by the assertion below
                    odd.append((table.path, error))
            time.sleep(0.02)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield looks
    finally:
        stop.set()
        reader.join()
    assert looks
    assert not odd
