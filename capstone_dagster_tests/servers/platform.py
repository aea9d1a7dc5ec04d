"""A whole platform below a folder: settings, definitions, and runs in this process or in one of its own.

In-process runs share the ``spark`` fixture's session and an instance in memory; ``capstone`` runs
are real processes with the embedded Postgres.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capstone_dagster.definitions import build_defs
from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster_tests.builders.published_files import first_rows
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import TABLES, Table

ALL_ROWS = 10**9
CAPSTONE = str(Path(sys.executable).with_name("capstone"))

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Platform:
    """Everything below one folder."""

    folder: Path
    first_day: date
    postgres_url: str = ""
    """A server that is up already; else every process starts the embedded one."""
    warehouse: bool = False
    """Whether days are loaded into Postgres, too; runs in this process have none."""
    automation: bool = False
    """Whether what runs by itself does so, and quickly; else nothing is run that the test does not run."""
    more: dict[str, str] = field(default_factory=dict)
    """Further settings and variables of its processes; raw files and tables without a URI are below the folder."""

    @property
    def environment(self) -> dict[str, str]:
        quick = {"CAPSTONE_SENSOR_SECONDS": "6", "CAPSTONE_QUIET_SECONDS": "2"}
        return {
            "CAPSTONE_POSTGRES_URL": self.postgres_url,
            "CAPSTONE_HOME": str(self.folder),
            "CAPSTONE_FIRST_TRADING_DAY": self.first_day.isoformat(),
            "CAPSTONE_DRIVER_MEMORY": "1g",
            "CAPSTONE_WAREHOUSE": "true" if self.warehouse else "false",
            "CAPSTONE_AUTOMATION": "true" if self.automation else "false",
            **(quick if self.automation else {}),
            **self.more,
        }

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_mapping(self.environment)

    @cached_property
    def defs(self) -> dg.Definitions:
        return build_defs(self.settings)

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_uri)

    def sample(self, day: date, *, events: int = 120, seed: int = 1) -> None:
        """Write a small day as both exchanges would."""
        list(Sample(symbols=2, events=events, seed=seed).write(self.settings.raw_uri, day, 1))

    def run(self, job: str, day: date, **resources: Any) -> dg.ExecuteInProcessResult:
        """Run a job in this process."""
        config = {"resources": {name: {"config": values} for name, values in resources.items()}}
        with dg.DagsterInstance.ephemeral() as instance:
            return self.defs.resolve_job_def(job).execute_in_process(
                run_config=config, partition_key=day.isoformat(), instance=instance, raise_on_error=False
            )

    def capstone(self, *arguments: str, program: tuple[str, ...] = (CAPSTONE,)) -> "subprocess.CompletedProcess[str]":
        """Run a command line in a process of its own."""
        return subprocess.run(
            [*program, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    @contextmanager
    def begun(self, *arguments: str, program: tuple[str, ...] = (CAPSTONE,)) -> Iterator["subprocess.Popen[str]"]:
        """A command line that works, in a group of processes of its own, as a terminal would start it."""
        with subprocess.Popen(
            [*program, *arguments],
            env=os.environ | self.environment,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The run storage, kept up meanwhile; commands that are run from here find it up, and are quicker."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("CAPSTONE_POSTGRES_URL", "DAGSTER_COMPUTE_LOGS", "DAGSTER_HOME"):
                patch.setenv(name, "")
            with ready(self.settings), dg.DagsterInstance.get() as instance:
                yield instance

    def rows(self, table: Table, day: date) -> Rows:
        """The published rows, sorted."""
        return sorted(map(tuple, first_rows(self.lake, table, day, ALL_ROWS)), key=repr)

    def rows_of_all_tables(self, day: date) -> dict[str, Rows]:
        """No rows of what is not published."""
        return {path: self.rows(table, day) if self.manifest(table, day) else [] for path, table in TABLES.items()}

    def manifest(self, table: Table, day: date) -> Manifest | None:
        return self.lake.manifest(table, day)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Why the run failed, as people read it."""
    data = next(event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert data.user_failure_data, data.error
    return data.user_failure_data.description or ""
