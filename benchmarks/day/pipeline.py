"""The real pipeline, as `spark_code/submit.py` runs it: day after day in one Spark session, on request.

Started by its path with the Python of any checkout, so that two of them can be compared: it imports nothing of
`benchmarks`. A request is a line of JSON, and so is the answer.
"""

import json
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest.mock import patch

from capstone_dagster.steps.spark_process import start_session
from spark_code import submit
from spark_code.flow import WHOLE, Step, steps_of
from spark_code.lake import Lake
from spark_code.session import local_conf

_DRIVER_MEMORY = "4g"


def run(day: str, previous: str | None, raw: str, out: str) -> dict[str, float]:
    """Publish the day; returns the seconds of each step."""
    seconds: dict[str, float] = {}

    def timed(job: str) -> Iterator[Step]:
        for step in steps_of(job):
            began = time.perf_counter()
            yield step
            seconds[step.name] = time.perf_counter() - began

    lake, began = Lake(out), time.perf_counter()
    spark = start_session(local_conf(_DRIVER_MEMORY, Path(out).parent))
    seconds["start"] = time.perf_counter() - began
    work = submit.Work(WHOLE, date.fromisoformat(day), date.fromisoformat(previous) if previous else None, raw, lake)
    with patch.object(submit, "steps_of", timed):
        work.run(spark, lake.begin(work.day, "benchmark"))
    return seconds


if __name__ == "__main__":
    for request in sys.stdin:
        print(json.dumps(run(**json.loads(request))), flush=True)  # noqa: T201 - the answer
