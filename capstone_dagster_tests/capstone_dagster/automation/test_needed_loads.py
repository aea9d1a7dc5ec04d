"""What a day with complete deliveries still needs: nothing that another has run, and each state of its files once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.automation.needed_runs import Decision, fingerprint
from capstone_dagster.run_tags import DELIVERIES_TAG
from capstone_dagster.runs.worker import Worker
from capstone_dagster_tests.builders.hand_made_days import (
    FRIDAY,
    THURSDAY,
    TUESDAY,
    HandMadeDays,
    HandMadeRun,
    files,
    pointer,
)
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    QUEUED,
    STARTED,
    STARTING,
    Event,
)
from spark_code.schemas import CLOSES, EVENTS, QUOTE_ANALYTICS, TRADES, Table

A, B = fingerprint(files("A")), fingerprint(files("B"))


def asked(days: HandMadeDays, content: str = "A", *, on_the_way: bool = False) -> Decision:
    """About the Friday."""
    return days.judge().files(FRIDAY, THURSDAY, files(content), on_the_way=on_the_way)


def tagged(content: str = "A") -> dict[str, str]:
    """As a run that was started for these files."""
    return {DELIVERIES_TAG: fingerprint(files(content))}


def asked_for(decision: Decision) -> tuple[str | None, str | None, bool]:
    return decision.job, decision.run_key, decision.is_settled


def sign_by_a_dead_process(run: HandMadeRun) -> None:
    """Whose number another process has by now."""
    here = Worker.process()
    run.days.instance.add_run_tags(run.run_id, Worker(here.host, here.pid, "1").signature(run.run_id))


NOTHING_MORE = (None, None, True)
LATER = (None, None, False)


def test_the_fingerprint_changes_with_any_file_of_any_exchange() -> None:
    nyse, nasdaq = zip(files("A"), files("B"), strict=True)
    seen = {fingerprint([one, other]) for one in nyse for other in nasdaq}
    assert (len(seen), A in seen, B in seen) == (4, True, True)


def test_a_day_that_nobody_has_run_is_run(days: HandMadeDays) -> None:
    days.ran("preprocessing", THURSDAY)

    decision = asked(days)

    assert asked_for(decision) == ("daily_pipeline", f"2020-09-04_{A}", False)
    assert decision.reason == "daily_pipeline_2020-09-04 is run"
    request = decision.request(FRIDAY)
    assert (request.job_name, request.partition_key, request.run_key) == (
        "daily_pipeline",
        "2020-09-04",
        f"2020-09-04_{A}",
    )
    # It goes before the queued pieces of a backfill.
    assert request.tags == {DELIVERIES_TAG: A, "dagster/priority": "1"}


def test_the_first_day_needs_no_closes(days: HandMadeDays) -> None:
    decision = days.judge().files(THURSDAY, None, files("A", THURSDAY), on_the_way=False)
    assert decision.job == "daily_pipeline"


def test_without_the_closes_of_the_day_before_only_the_day_itself_is_loaded(days: HandMadeDays) -> None:
    decision = asked(days)

    assert asked_for(decision) == ("preprocessing", f"2020-09-04_{A}", False)
    assert decision.reason == "preprocessing_2020-09-04 is run; its report waits for the closes of 2020-09-03"


def test_closes_that_are_on_the_way_count_as_there(days: HandMadeDays) -> None:
    assert asked(days, on_the_way=True).job == "daily_pipeline"
    days.queued("preprocessing", THURSDAY)
    assert asked(days).job == "daily_pipeline"


@pytest.mark.parametrize("tags", [{}, tagged()], ids=["by hand", "by itself"])
def test_a_day_that_is_published_from_these_files_is_settled(days: HandMadeDays, tags: dict[str, str]) -> None:
    days.ran("daily_pipeline", THURSDAY)
    days.ran("daily_pipeline", FRIDAY, tags=tags)

    assert asked_for(asked(days)) == NOTHING_MORE
    assert asked_for(asked(days, "B")) == ("daily_pipeline", f"2020-09-04_{B}", False)


@pytest.mark.parametrize("events", [(), (STARTING,), (STARTING, STARTED), (STARTING, STARTED, CANCELING)])
def test_a_day_that_somebody_works_on_is_asked_for_later(days: HandMadeDays, events: tuple[Event, ...]) -> None:
    run = days.queued("preprocessing", FRIDAY, *events)

    decision = asked(days)

    assert asked_for(decision) == LATER
    assert "2020-09-04 waits for the end of preprocessing" in decision.reason
    assert run.run_id in decision.reason


def test_a_day_in_a_range_that_somebody_works_on_is_asked_for_later(days: HandMadeDays) -> None:
    ends = ("dagster/asset_partition_range_start", "2020-09-03"), ("dagster/asset_partition_range_end", "2020-09-04")
    run = dg.DagsterRun("daily_pipeline", status=dg.DagsterRunStatus.STARTED, tags=dict(ends))
    days.instance.add_run(run)

    assert asked_for(asked(days)) == LATER
    assert days.judge().files(TUESDAY, FRIDAY, files("A", TUESDAY), on_the_way=False).job == "daily_pipeline"


@pytest.mark.parametrize("end", [(FAILURE,), (CANCELING, CANCELED)])
def test_files_that_were_tried_are_not_tried_again_but_others_are(days: HandMadeDays, end: tuple[Event, ...]) -> None:
    run = days.queued("preprocessing", FRIDAY, STARTING, STARTED, *end, tags=tagged())

    decision = asked(days)

    assert asked_for(decision) == NOTHING_MORE
    assert decision.reason == (
        f"preprocessing_2020-09-04 ended in {end[-1].type.value.removeprefix('PIPELINE_')} with these files "
        f"(run {run.run_id}); when the reason is mended, run it again"
    )
    assert asked(days, "B").run_key == f"2020-09-04_{B}"


def test_a_run_that_was_canceled_in_the_queue_counts_as_tried(days: HandMadeDays) -> None:
    days.queued("preprocessing", FRIDAY, CANCELED, tags=tagged())
    assert asked_for(asked(days)) == NOTHING_MORE


def test_a_failure_of_somebody_else_is_no_try(days: HandMadeDays) -> None:
    days.queued("preprocessing", FRIDAY, STARTING, STARTED, FAILURE)
    assert asked(days).run_key == f"2020-09-04_{A}"


def test_files_that_come_back_after_a_correction_are_news(days: HandMadeDays) -> None:
    for content, key in (("A", A), ("B", B), ("A", f"{A}_2"), ("B", f"{B}_2"), ("A", f"{A}_3")):
        assert asked(days, content).run_key == f"2020-09-04_{key}"
        days.ran("preprocessing", FRIDAY, content, tags=tagged(content))
        assert asked_for(asked(days, content)) == NOTHING_MORE


def test_files_that_came_back_and_failed_are_not_tried_again(days: HandMadeDays) -> None:
    days.ran("preprocessing", FRIDAY, "A", tags=tagged("A"))
    days.ran("preprocessing", FRIDAY, "B", tags=tagged("B"))
    days.queued("preprocessing", FRIDAY, STARTING, STARTED, FAILURE, tags=tagged("A"))

    assert asked_for(asked(days, "A")) == NOTHING_MORE


def test_a_run_that_has_read_other_files_than_it_was_started_for_is_run_again_once(days: HandMadeDays) -> None:
    """The files changed before it read them, and are what they were before."""
    days.ran("preprocessing", FRIDAY, "B", tags=tagged("A"))
    assert asked(days, "A").run_key == f"2020-09-04_{A}_2"

    days.ran("preprocessing", FRIDAY, "B", tags=tagged("A"))
    assert asked_for(asked(days, "A")) == NOTHING_MORE


def test_a_run_that_was_created_and_never_queued_does_not_count(days: HandMadeDays) -> None:
    """The daemon died between the two. For the same run key it goes on with that run."""
    before = asked_for(asked(days))
    days.instance.add_run(dg.DagsterRun("preprocessing", tags={"dagster/partition": f"{FRIDAY}"} | tagged()))

    assert asked_for(asked(days)) == before == ("preprocessing", f"2020-09-04_{A}", False)


def test_a_run_whose_process_is_gone_holds_no_day_up(days: HandMadeDays) -> None:
    run = days.started("preprocessing", FRIDAY)
    sign_by_a_dead_process(run)

    assert asked(days).job == "preprocessing"
    ended = days.instance.get_run_by_id(run.run_id)
    assert ended
    assert ended.status == dg.DagsterRunStatus.FAILURE


# --- a run that failed and is tried again by Dagster's daemon ---


@pytest.fixture
def retrying(tmp_path: Path) -> Iterator[HandMadeDays]:
    """Where runs whose process was lost are tried again, and what happens happens now."""
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": True, "max_retries": 3}}) as instance:
        days = HandMadeDays(tmp_path, instance)
        days.histories.now = datetime.now(UTC)
        yield days


def next_attempt(days: HandMadeDays, failed: HandMadeRun) -> HandMadeRun:
    """Begun by the daemon: it takes the tags along."""
    run_id = days.histories.run("preprocessing", day=FRIDAY, tags=tagged())
    days.instance.add_run_tags(failed.run_id, {"dagster/auto_retry_run_id": run_id})
    return HandMadeRun(days, "preprocessing", FRIDAY, run_id)


def test_a_failed_run_is_waited_for_until_its_last_attempt_has_ended(retrying: HandMadeDays) -> None:
    first = retrying.queued("preprocessing", FRIDAY, STARTING, STARTED, FAILURE, tags=tagged())
    waiting = asked(retrying)
    assert asked_for(waiting) == LATER
    assert waiting.reason == (
        f"2020-09-04 waits for the end of preprocessing (failed, is tried again, run {first.run_id})"
    )

    second = next_attempt(retrying, first)
    assert asked_for(asked(retrying)) == LATER  # created, and not in the queue yet
    for event in (QUEUED, STARTING, STARTED):
        retrying.histories.happened(second.run_id, event)
        assert asked_for(asked(retrying)) == LATER
    second.ends(CANCELED)
    assert asked_for(asked(retrying)) == NOTHING_MORE


def test_other_files_wait_for_the_next_attempt_too(retrying: HandMadeDays) -> None:
    retrying.queued("preprocessing", FRIDAY, STARTING, STARTED, FAILURE, tags=tagged())
    assert asked_for(asked(retrying, "B")) == LATER


def test_an_attempt_that_does_not_come_holds_no_day_up(retrying: HandMadeDays) -> None:
    retrying.histories.now -= timedelta(minutes=20)
    retrying.queued("preprocessing", FRIDAY, STARTING, STARTED, FAILURE, tags=tagged())

    assert asked_for(asked(retrying)) == NOTHING_MORE
    assert asked(retrying, "B").job == "preprocessing"


def test_a_failure_that_is_not_tried_again_is_final(retrying: HandMadeDays) -> None:
    none = {"dagster/max_retries": "0"}
    retrying.queued("preprocessing", FRIDAY, STARTING, STARTED, FAILURE, tags=tagged() | none)
    assert asked_for(asked(retrying)) == NOTHING_MORE


def test_a_process_that_was_lost_is_tried_again(retrying: HandMadeDays) -> None:
    run = retrying.started("preprocessing", FRIDAY, tags=tagged())
    sign_by_a_dead_process(run)
    assert asked_for(asked(retrying)) == LATER


# --- the report of a day that is loaded ---


def test_the_report_of_a_loaded_day_is_run_once_its_closes_are_there(days: HandMadeDays) -> None:
    days.ran("preprocessing", FRIDAY, tags=tagged())
    waiting = asked(days)
    assert asked_for(waiting) == NOTHING_MORE
    assert waiting.reason == "the report of 2020-09-04 waits for the closes of 2020-09-03"

    days.ran("preprocessing", THURSDAY)
    due = asked(days)
    assert (due.job, due.is_settled, due.tags) == ("analytical", False, {})
    assert due.reason == "analytical_2020-09-04 is run: there is no report of it yet"


def test_who_ran_preprocessing_alone_decides_about_the_report(days: HandMadeDays) -> None:
    days.ran("preprocessing", THURSDAY)
    run = days.ran("preprocessing", FRIDAY)

    decision = asked(days)

    assert asked_for(decision) == NOTHING_MORE
    assert decision.reason == f"the report of 2020-09-04 is left to who ran preprocessing alone (run {run.run_id})"


@pytest.mark.parametrize("tags", [{}, tagged()], ids=["by hand", "by itself"])
def test_a_report_that_failed_with_everything_at_hand_is_not_tried_again(
    days: HandMadeDays, tags: dict[str, str]
) -> None:
    days.ran("preprocessing", THURSDAY)
    run = days.started("daily_pipeline", FRIDAY, tags=tags)
    run.loads()
    run.ends(FAILURE)

    decision = asked(days)

    assert asked_for(decision) == NOTHING_MORE
    assert f"daily_pipeline_2020-09-04 ended in FAILURE with these inputs (run {run.run_id})" in decision.reason


# --- a lake that cannot be read ---


@pytest.mark.parametrize("table", [EVENTS, TRADES, QUOTE_ANALYTICS], ids=lambda table: table.name)
def test_a_broken_manifest_is_a_reason_and_no_end(days: HandMadeDays, table: Table) -> None:
    days.ran("daily_pipeline", THURSDAY)
    days.ran("daily_pipeline", FRIDAY)
    days.lake.storage.write(pointer(table, FRIDAY), b"{")

    decision = asked(days)

    assert asked_for(decision) == LATER
    assert f"2020-09-04 cannot be judged: {days.lake.storage.root}/{table.path}/_published/2020-09-04.json is no" in (
        decision.reason
    )


def test_the_broken_manifest_of_the_day_before_is_a_reason_too(days: HandMadeDays) -> None:
    days.lake.storage.write(pointer(CLOSES, THURSDAY), b"[5")
    assert asked_for(asked(days)) == LATER
