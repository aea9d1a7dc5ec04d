"""What a person sees at the terminal, from small real jobs that run in this process."""

import re
from typing import Any

import dagster as dg
import pytest

from capstone_dagster.runs.failure_reasons import failure_reason
from capstone_dagster.runs.terminal_log import progress_logger
from spark_code.locations import StorageError

EVENTS_KEY = dg.AssetKey(["ingested", "events"])

DISK_FULL = """\
An error occurred while calling o42.parquet.
: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/lake. SQLSTATE: 58030
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.taskFailedWhileWritingRowsError(QueryExecutionErrors.scala:776)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.io.IOException: No space left on device
\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)
\t... 1 more
Caused by: java.io.IOException: No space left on device
"""
MANY_CAUSES = "An error occurred.\n" + "\n".join(f"Caused by: cause {i}\n\tat here" for i in range(5))


class FakeSparkError(Exception):
    """Like py4j's: the message holds the stack of the JVM."""


def run(asset: dg.AssetsDefinition, *checks: dg.AssetChecksDefinition) -> dg.ExecuteInProcessResult:
    """One run of the asset's job with the progress logger."""
    definitions = dg.Definitions(
        assets=[asset],
        asset_checks=checks,
        loggers={"progress": progress_logger},
        jobs=[dg.define_asset_job("daily_pipeline", dg.AssetSelection.all())],
    )
    job = definitions.resolve_job_def("daily_pipeline")
    return job.execute_in_process(run_config={"loggers": {"progress": {}}}, raise_on_error=False)


def failing(error: Exception) -> dg.AssetsDefinition:
    @dg.asset(key=EVENTS_KEY)
    def events() -> None:
        raise error

    return events


def published(metadata: dict[str, Any], key: dg.AssetKey = EVENTS_KEY) -> dg.AssetsDefinition:
    @dg.asset(key=key)
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        context.log.info("reading the raw files")
        context.log.debug("version v1")
        return dg.MaterializeResult(metadata=metadata)

    return asset


def reason(error: Exception) -> str:
    [event] = [event for event in run(failing(error)).all_events if event.is_step_failure]
    return failure_reason(event)


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on the terminal, without their seconds."""
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"  +\d+\.\d s  ", line) for line in lines)
    return [re.sub(r"^  +\d+\.\d s  ", "", line) for line in lines]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(dg.Failure("no raw files of 2020-08-05"), "no raw files of 2020-08-05", id="a Failure"),
        pytest.param(ValueError("out of paper"), "ValueError: out of paper", id="a plain exception"),
        pytest.param(KeyError("symbol"), "KeyError: 'symbol'", id="an exception that shows a key"),
        pytest.param(
            FakeSparkError(DISK_FULL),
            "org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/lake. "
            "SQLSTATE: 58030; Caused by: java.io.IOException: No space left on device",
            id="a stack of the JVM",
        ),
        pytest.param(
            FakeSparkError(MANY_CAUSES),
            "Caused by: cause 0; Caused by: cause 1; Caused by: cause 4",
            id="of many causes the first and the last",
        ),
    ],
)
def test_the_reason_of_a_failure_is_told_without_its_stack(error: Exception, expected: str) -> None:
    assert reason(error).removeprefix(": ") == expected


def test_the_cause_of_a_chained_exception_is_told() -> None:
    error = RuntimeError("the day cannot be read")
    error.__cause__ = OSError("disk on fire")

    assert reason(error) == "RuntimeError: the day cannot be read"


def test_a_step_and_what_it_published_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    run(published({"dagster/partition_row_count": 1_234_567, "seconds": 1.25}))

    assert shown(capsys) == ["ingested/events ...", "published ingested/events: 1,234,567 rows in 1.25 s"]


def test_an_asset_that_counts_no_rows_does_not_fail_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(published({}, dg.AssetKey(["report", "page"])))

    assert result.success
    assert not any("FAILED" in line for line in shown(capsys))


def test_a_failed_step_is_one_line_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    run(failing(dg.Failure("no raw files of 2020-08-05")))

    assert shown(capsys) == ["ingested/events ...", "FAILED in ingested/events: no raw files of 2020-08-05"]


def test_a_step_that_is_tried_again_is_one_line_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    fault = StorageError("s3://bucket/key: GenericError: too busy")
    request = dg.RetryRequested(max_retries=1, seconds_to_wait=0.001)
    request.__cause__ = fault

    run(failing(request))

    assert shown(capsys) == [
        "ingested/events ...",
        "ingested/events is tried again in 0 s: s3://bucket/key: GenericError: too busy",
        "ingested/events ...",
        "FAILED in ingested/events: s3://bucket/key: GenericError: too busy",
    ]


def test_warnings_are_shown_and_lesser_messages_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    @dg.asset(key=EVENTS_KEY)
    def events(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        context.log.info("reading the raw files")
        context.log.warning("%s is not published; going on without it", "eod/closes")
        return dg.MaterializeResult(metadata={"dagster/partition_row_count": 0, "seconds": 0.0})

    run(events)

    assert shown(capsys) == [
        "ingested/events ...",
        "warning: eod/closes is not published; going on without it",
        "published ingested/events: 0 rows in 0.0 s",
    ]


@pytest.mark.parametrize(
    ("passed", "printed"),
    [
        (True, []),
        (False, ["warning: check lines of ingested/events did not pass: 2020-08-05: too many rejects"]),
    ],
)
def test_a_check_is_shown_only_if_it_did_not_pass(
    capsys: pytest.CaptureFixture[str], passed: bool, printed: list[str]
) -> None:
    @dg.asset_check(asset=EVENTS_KEY)
    def lines() -> dg.AssetCheckResult:
        says = "2020-08-05: too many rejects"
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=says)

    run(published({"dagster/partition_row_count": 1, "seconds": 0.1}), lines)

    assert shown(capsys)[2:] == printed
