"""The database of the run storage goes away in the middle of a run, and comes back."""

import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

from psycopg2 import connect

from capstone_dagster.embedded_postgres import serving
from capstone_dagster_tests.platform import CAPSTONE, Platform

DAY = date(2020, 8, 5)


@contextmanager
def _run(platform: Platform) -> Iterator["subprocess.Popen[str]"]:
    """A run that is about to begin its second step."""
    with subprocess.Popen(
        [CAPSTONE, "run", str(DAY), "--job", "preprocessing"],
        env=os.environ | platform.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout
        seen = []
        for line in run.stdout:
            seen.append(line)
            if "eod ..." in line:
                break
        else:
            raise AssertionError("".join(seen))
        try:
            yield run
        finally:
            run.kill()


def _run_through_an_outage(folder: Path, seconds: float) -> tuple[str, Counter[tuple[str, str]]]:
    """What the run printed after it, and the events it left: how many of each type and step.

    The server is not the run's own, which it would start again itself.
    """
    with tempfile.TemporaryDirectory() as home, ExitStack() as use:
        url = use.enter_context(serving(Path(home)))
        platform = Platform(folder, DAY, postgres_url=url)
        platform.sample(DAY)
        with _run(platform) as run:
            use.close()
            time.sleep(seconds)
            use.enter_context(serving(Path(home)))
            output, _ = run.communicate(timeout=300)
        status = platform.capstone("status", f"preprocessing_{DAY}")
        assert "SUCCESS" in status.stdout, output + status.stdout
        return output, _events(url)


def _events(url: str) -> Counter[tuple[str, str]]:
    """How many of each type and step are in the run storage."""
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT dagster_event_type, coalesce(step_key, '') FROM event_logs")
        return Counter(cursor.fetchall())


def test_a_run_outlasts_a_database_that_is_away_for_5_and_for_60_seconds_and_loses_no_event(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as at_once:
        outages = [at_once.submit(_run_through_an_outage, tmp_path / f"{s} s", s) for s in (5, 60)]
        (short, after_short), (long, after_long) = (outage.result() for outage in outages)
    undisturbed = Platform(tmp_path / "undisturbed", DAY)
    undisturbed.sample(DAY)
    assert undisturbed.capstone("run", str(DAY), "--job", "preprocessing").returncode == 0

    assert "the run storage does not answer; waiting for it" in long
    for output in (short, long):
        assert "SUCCESS" in output
    with serving(undisturbed.folder) as url:
        assert after_short == after_long == _events(url)
