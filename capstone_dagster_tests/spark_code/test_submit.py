"""The edges under plain spark-submit: the same rows as through Dagster, and errors of one line."""

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile

import pytest

from capstone_dagster_tests.servers.platform import Platform
from spark_code import submit
from spark_code.corporate_actions import FILE
from spark_code.schemas import CLOSES, DAILY_SUMMARY, TABLES

# Of a millionth.
HALF = Decimal("0.0000005")
FIRST, SECOND = date(2020, 8, 5), date(2020, 8, 6)

pytestmark = pytest.mark.usefixtures("spark")


def _submit(platform: Platform, job: str, day: date, *options: str) -> int:
    raw = ["--raw", str(platform.raw)] if job == "preprocessing" else []
    return submit.main([job, "--date", f"{day}", "--lake", platform.settings.lake_uri, *raw, *options])


def test_both_jobs_publish_the_rows_that_dagster_publishes(tmp_path: Path) -> None:
    platform = Platform(tmp_path, FIRST)
    for day, before in ((FIRST, ["--first-day"]), (SECOND, ["--previous-day", f"{FIRST}"])):
        platform.sample(day)
        assert _submit(platform, "preprocessing", day) == 0
        assert _submit(platform, "analytical", day, *before) == 0
    submitted = {
        table: (platform.lake.require(table, SECOND).run_id, platform.rows(table, SECOND)) for table in TABLES.values()
    }

    assert platform.run("preprocessing", FIRST).success
    assert platform.run("daily_pipeline", SECOND).success
    for table, (run_id, rows) in submitted.items():
        assert platform.lake.require(table, SECOND).run_id != run_id
        assert platform.rows(table, SECOND) == rows, table.path


def test_a_split_is_adjusted_as_by_dagster_and_a_bad_line_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = Platform(tmp_path, FIRST)
    for day in (FIRST, SECOND):
        platform.sample(day)
        assert _submit(platform, "preprocessing", day) == 0
    symbol = platform.rows(CLOSES, FIRST)[0][1]
    (platform.raw / "reference").mkdir()
    (platform.raw / FILE).write_text(f"nonsense\n{symbol},{SECOND},split,4\n")
    raw, before = ("--raw", f"{platform.raw}"), ("--previous-day", f"{FIRST}")

    assert _submit(platform, "analytical", SECOND, *before, *raw) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{FILE}, line 1: it has 1 field; ")
    adjusted = platform.rows(DAILY_SUMMARY, SECOND)
    inputs = platform.lake.require(DAILY_SUMMARY, SECOND).inputs
    assert {row[-4] / 4 - row[-1] for row in adjusted if row[1] == symbol and row[-4]} <= {-HALF, 0, HALF}
    assert {row[-4] - row[-1] for row in adjusted if row[1] != symbol and row[-4]} == {0}

    assert platform.run("analytical", SECOND).success
    assert platform.rows(DAILY_SUMMARY, SECOND) == adjusted
    assert platform.lake.require(DAILY_SUMMARY, SECOND).inputs == inputs
    assert _submit(platform, "analytical", SECOND, *before) == 0
    assert {row[-4] == row[-1] for row in platform.rows(DAILY_SUMMARY, SECOND)} == {True}


def test_what_is_missing_is_one_line_and_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform = Platform(tmp_path, FIRST)
    assert _submit(platform, "preprocessing", FIRST) == 1
    assert _submit(platform, "analytical", SECOND, "--previous-day", f"{FIRST}") == 1
    nyse, nasdaq = f"{platform.raw}/csv/{FIRST}/NYSE/", f"{platform.raw}/json/{FIRST}/NASDAQ/"
    no_files = f"no raw files of {FIRST} from NYSE (looked in {nyse}) and NASDAQ (looked in {nasdaq}); "
    no_files += "wait for the delivery, or check the raw folder"
    assert capsys.readouterr().err.splitlines() == [
        f"preprocessing_{FIRST}: {no_files}",
        f"analytical_{SECOND}: ingested/events of {SECOND} is not published in {platform.settings.lake_uri}",
    ]


@pytest.mark.parametrize(
    ("job", "day", "options", "sentence"),
    [
        ("preprocessing", "2020-08-08", [], "2020-08-08 cannot be run: the NYSE is closed on Saturdays"),
        ("preprocessing", "2020-09-07", [], "2020-09-07 cannot be run: the NYSE is closed on Labor Day"),
        ("preprocessing", "2003-12-31", [], "2003-12-31 cannot be run: the calendar knows 2004-01-01 to 2040-12-31"),
        (
            "analytical",
            "2040-08-06",
            ["--first-day"],
            "2040-08-06 cannot be run: it is in the future; in New York it is",
        ),
        (
            "analytical",
            "2020-08-10",
            ["--previous-day", "2020-08-06"],
            "the trading day before 2020-08-10 is 2020-08-07, not 2020-08-06",
        ),
    ],
)
def test_a_day_that_is_no_trading_day_is_refused_before_spark_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], job: str, day: str, options: list[str], sentence: str
) -> None:
    (tmp_path / "csv" / day / "NYSE").mkdir(parents=True)
    (tmp_path / "csv" / day / "NYSE" / "1.csv").write_text("")

    ended = submit.main([job, "--date", day, "--lake", f"{tmp_path}/lake", "--raw", f"{tmp_path}", *options])

    assert ended == 1
    assert capsys.readouterr().err.startswith(f"{job}_{day}: {sentence}")


def test_the_calendar_is_read_from_an_archive_as_on_a_cluster(tmp_path: Path) -> None:
    package = Path(submit.__file__).parent
    with ZipFile(tmp_path / "spark_code.zip", "w") as archive:
        for file in package.iterdir():
            archive.write(file, f"spark_code/{file.name}")
    program = (
        "import spark_code; from spark_code.nyse_calendar import *\n"
        "print(spark_code.__file__, NyseCalendar().why_closed(date(2020, 9, 7)))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "spark_code.zip")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == f"{tmp_path}/spark_code.zip/spark_code/__init__.py the NYSE is closed on Labor Day\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["analytical", "--date", "2020-08-06", "--lake", "x"], "analytical needs --previous-day, or --first-day"),
        (["preprocessing", "--date", "2020-08-06", "--lake", "x"], "preprocessing needs --raw"),
        (["preprocessing", "--date", "2020-08-06", "--lake", "x", "--keep-versions", "1"], "must be a number from 2"),
        (["analytical", "--date", "tomorrow", "--lake", "x"], "'tomorrow' is not a date; write yyyy-mm-dd"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        submit.main(arguments)
    assert refused.value.code == 2
    assert complaint in capsys.readouterr().err
