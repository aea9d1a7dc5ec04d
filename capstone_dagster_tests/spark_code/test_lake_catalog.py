"""Publishing and the catalog: it is told once the day is published, and before anything is removed."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.closes import (
    DATA,
    DAY,
    FIRST,
    SECOND,
    point_to,
    publish_closes,
    put_version,
    version_of,
)
from capstone_dagster_tests.builders.lakes import make_old
from capstone_dagster_tests.servers.glue_server import GlueServer
from spark_code import submit
from spark_code.lake import Lake, LakeError, StaleAttemptError
from spark_code.schemas import CLOSES, Table


class Register:
    """A catalog that writes down what is published when it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, date, str]] = []

    def register(self, lake: Lake, table: Table, day: date) -> None:
        self.told.append((table.path, day, lake.require(table, day).version))


class ClosedCatalog:
    """A catalog that cannot be told anything."""

    def register(self, lake: Lake, table: Table, day: date) -> None:
        del lake, table, day
        raise LakeError("closed")


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def told_lake(tmp_path: Path, register: Register) -> Lake:
    return Lake(str(tmp_path / "lake"), register)


def test_the_catalog_is_told_once_the_day_is_published(
    told_lake: Lake, register: Register, spark: SparkSession
) -> None:
    publish_closes(told_lake, spark, FIRST, token=1)

    assert register.told == [("eod/closes", DAY, version_of(1))]


def test_the_catalog_hears_nothing_of_what_is_not_published(
    told_lake: Lake, register: Register, spark: SparkSession
) -> None:
    point_to(told_lake, 2)

    with pytest.raises(StaleAttemptError):
        publish_closes(told_lake, spark, SECOND, token=1)

    assert register.told == []


def test_a_catalog_that_refuses_leaves_the_day_published_and_its_older_versions_readable(
    tmp_path: Path, register: Register, spark: SparkSession
) -> None:
    closed = Lake(str(tmp_path / "lake"), ClosedCatalog())
    for token in (1, 2):
        put_version(closed, token)
        point_to(closed, token)
    make_old(tmp_path)

    with pytest.raises(LakeError, match="closed"):
        publish_closes(closed, spark, FIRST, token=3)

    assert closed.require(CLOSES, DAY).version == version_of(3)
    assert closed.storage.folders(DATA) == [version_of(1), version_of(2), version_of(3)]

    publish_closes(Lake(closed.storage.root, register), spark, FIRST, token=4)

    assert register.told == [("eod/closes", DAY, version_of(4))]
    assert version_of(1) not in closed.storage.folders(DATA)


# --- with plain spark-submit: what the job publishes is put there by hand, without Spark ---


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The analytical job of the day over an empty lake, with some more options; its exit code."""

    def publishing(work: submit.Work, *_: object) -> None:
        point_to(work.lake, 1)
        if work.lake.catalog:
            work.lake.catalog.register(work.lake, CLOSES, work.day)

    monkeypatch.setattr(submit, "start", lambda _: None)
    monkeypatch.setattr(submit.Work, "run", publishing)
    job = ["analytical", "--date", "2020-08-05", "--first-day", "--lake", str(tmp_path)]
    return lambda *options: submit.main([*job, *options])


def test_a_submitted_job_registers_in_the_database_that_is_named(
    submitted: Callable[..., int], glue: GlueServer
) -> None:
    assert submitted("--glue-database", glue.database) == 0

    assert list(glue.locations("eod_closes")) == [("2020-08-05",)]


def test_a_submitted_job_without_a_database_registers_nothing(submitted: Callable[..., int], glue: GlueServer) -> None:
    assert submitted() == 0

    assert glue.calls == []


@pytest.mark.parametrize("code", ["AccessDeniedException", "OperationTimeoutException"])
def test_a_submitted_job_that_cannot_be_registered_fails_with_one_line(
    submitted: Callable[..., int], glue: GlueServer, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    glue.refuse("GetTable", code)

    assert submitted("--glue-database", glue.database) == 1

    said = capsys.readouterr().err
    assert said.startswith(
        f"analytical_2020-08-05: eod/closes of 2020-08-05 is published ({version_of(1)}), but is not"
    )
    assert said.endswith("; once that is mended: capstone glue-sync 2020-08-05\n")
    assert said.count("\n") == 1
