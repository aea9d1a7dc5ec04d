"""What a trading day costs in a backfill, beside a run of its own: the same days, small files, real processes.

Both are runs of `daily_pipeline` with Dagster's own command line, on an embedded Postgres that is up already. The
backfill is one run over all of its days.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.timing import Findings, Measurement, Target, process
from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster.trading_days import trading_days

_DAYS = 60
_EVENTS, _SYMBOLS = 1_000, 5
_SHARE = Target(0.2, "ratio")
_CAPSTONE = str(Path(sys.executable).with_name("capstone"))


def _launch(*partitions: str) -> float:
    command = (_CAPSTONE, "exec", "--", "dg", "launch", "--job", "daily_pipeline", *partitions)
    began = time.perf_counter()
    process(*command)()
    return time.perf_counter() - began


def measure() -> Findings:
    """Single days before and after the backfill, whose days are others."""
    with TemporaryDirectory() as home:
        os.environ |= {
            "CAPSTONE_HOME": home,
            "CAPSTONE_RAW_URI": "",
            "CAPSTONE_LAKE_URI": "",
            "CAPSTONE_POSTGRES_URL": "",
        }
        os.chdir(CHECKOUT)
        settings = Settings.from_environment()
        first, sample = trading_days(settings.first_trading_day).first, Sample(symbols=_SYMBOLS, events=_EVENTS, seed=7)
        days = [day for day, *_ in sample.write(settings.raw_uri, first, _DAYS + 3)]
        with serving(settings.home) as url:
            os.environ["CAPSTONE_POSTGRES_URL"] = url
            singles = [_launch("--partition", f"{day}") for day in days[:2]]
            backfilled = days[2 : 2 + _DAYS]
            a_day = _launch("--partition-range", f"{backfilled[0]}...{backfilled[-1]}") / _DAYS
            singles.append(_launch("--partition", f"{days[-1]}"))
    single = sorted(singles)[1]
    return Findings(
        f"a trading day of {_EVENTS:,} events",
        [
            [
                Measurement("a day in a run of its own", singles, singles, is_baseline_part=False),
                Measurement(
                    f"a day in a backfill of {_DAYS}", [a_day], [single], is_baseline_part=False, target=_SHARE
                ),
            ]
        ],
    )
