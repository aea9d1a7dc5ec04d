"""Which failures are told: those that nobody and nothing will mend by itself, each once."""

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta

import dagster as dg
import pytest

from capstone_dagster.automation.alerts.failed_jobs import failed_jobs
from capstone_dagster.run_tags import REFUSED_TAG
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    STARTED,
    SUCCESS,
    Event,
    Histories,
    failed,
)
from capstone_dagster_tests.builders.ticks import Ticks
from capstone_dagster_tests.servers.webhook_server import Webhook

DAYS = {"dagster/asset_partition_range_start": "2020-08-05", "dagster/asset_partition_range_end": "2020-08-14"}
RETRIED_ONCE = {"run_retries": {"enabled": True, "max_retries": 1}}


NOBODY = "no alert channel is configured (CAPSTONE_ALERT_URLS, CAPSTONE_ALERT_TOPIC)"


def begun(histories: Histories, *channels: str) -> Ticks:
    """The ticks after the first, which only begins."""
    ticks = Ticks(histories, failed_jobs, *channels)
    ticks.tick()
    return ticks


@pytest.fixture
def ticks(histories: Histories) -> Ticks:
    """Without a channel they say what would have been sent."""
    return begun(histories)


@pytest.fixture
def retrying() -> Iterator[Histories]:
    """Where a run whose process was lost is tried again once."""
    with dg.DagsterInstance.ephemeral(settings=RETRIED_ONCE) as instance:
        yield Histories(instance)


def record(histories: Histories, *ends: Event, **facets: object) -> dg.DagsterRun:
    """A run with these facets that failed, or came to other ends."""
    run = dg.DagsterRun(**{"job_name": "daily_pipeline", **facets})  # type: ignore[arg-type]
    histories.instance.add_run(run)
    histories.happened(run.run_id, STARTED, *(ends or (FAILURE,)))
    return run


def test_a_failed_run_is_told_once_with_all_that_people_need(histories: Histories, webhook: Webhook) -> None:
    ticks = begun(histories, webhook.url())
    run_id = histories.run("daily_pipeline", STARTED, failed("eod", "disk full"), FAILURE)

    assert ticks.tick() == "daily_pipeline_2020-08-06 failed: sent to 1 channel"
    assert [ticks.tick() for _ in range(3)] == ["nothing to send"] * 3
    (message,) = webhook.messages
    assert message["title"] == "daily_pipeline_2020-08-06 failed"
    assert message["message"] == (f"Day: 2020-08-06\nReason: disk full\nAttempts: 1\nRun: http://ui:3000/runs/{run_id}")


def test_what_failed_before_the_first_tick_is_not_told(histories: Histories) -> None:
    histories.run("daily_pipeline", STARTED, FAILURE)
    ticks = Ticks(histories, failed_jobs)

    assert ticks.tick() == "looks at events from now on"
    assert ticks.tick() == "nothing to send"
    histories.run("preprocessing", STARTED, FAILURE)
    assert ticks.tick() == f"preprocessing_2020-08-06 failed: {NOBODY}"


def test_a_long_reason_is_cut(histories: Histories, webhook: Webhook) -> None:
    ticks = begun(histories, webhook.url())
    histories.run("daily_pipeline", STARTED, failed("eod", "x" * 1_001), FAILURE)
    ticks.tick()

    assert f"Reason: {'x' * 1_000}...\n" in webhook.messages[0]["message"]


@pytest.mark.parametrize("events", [(STARTED, SUCCESS), (STARTED, CANCELING, CANCELED), (STARTED,)])
def test_a_run_that_succeeded_was_canceled_or_goes_on_is_not_told(
    histories: Histories, ticks: Ticks, events: tuple[Event, ...]
) -> None:
    histories.run("daily_pipeline", *events)

    assert ticks.tick() == "nothing to send"


def test_a_run_that_was_refused_is_no_job_that_failed(histories: Histories, ticks: Ticks) -> None:
    histories.run("daily_pipeline", FAILURE, run_id="refused", tags={REFUSED_TAG: "refused"})

    assert ticks.tick() == "nothing to send"


def test_a_run_that_failed_while_it_was_canceled_is_not_told(histories: Histories, ticks: Ticks) -> None:
    histories.run("daily_pipeline", STARTED, FAILURE, CANCELED)

    assert ticks.tick() == "nothing to send"


@pytest.mark.parametrize(
    ("facets", "title"),
    [
        ({"tags": {"dagster/partition": "2020-08-06"}}, "daily_pipeline_2020-08-06 failed"),
        ({"tags": DAYS | {"capstone/range": "itself"}}, "daily_pipeline_2020-08-05..2020-08-14 failed"),
        (
            {
                "job_name": "__ASSET_JOB",
                "tags": {"dagster/partition": "2020-08-06"},
                "asset_selection": frozenset({dg.AssetKey(["eod", "trades"]), dg.AssetKey(["eod", "closes"])}),
            },
            "eod/closes, eod/trades of 2020-08-06 failed",
        ),
        ({"job_name": "somebody_s_own"}, "somebody_s_own failed"),
    ],
    ids=["without an origin, as of capstone run", "over days", "single assets", "another job"],
)
def test_whatever_has_started_it_a_failed_run_is_told_by_what_it_ran(
    histories: Histories, ticks: Ticks, facets: Mapping[str, object], title: str
) -> None:
    record(histories, **facets)

    assert ticks.tick() == f"{title}: {NOBODY}"


def test_a_day_of_a_run_over_days_is_left_to_that_run_unless_it_was_run_again_alone(
    histories: Histories, ticks: Ticks
) -> None:
    tags = {"capstone/range": "the run over days", "dagster/partition": "2020-08-06"}
    day = record(histories, tags=tags)
    assert ticks.tick() == "nothing to send"

    record(histories, tags=tags, parent_run_id=day.run_id, root_run_id=day.run_id)
    assert ticks.tick() == f"daily_pipeline_2020-08-06 failed: {NOBODY}"


def of_range(day: str | None = None) -> dict[str, str]:
    """The tags of the run over days, or of one of its days."""
    return {"capstone/range": "the first of them", **({"dagster/partition": day} if day else DAYS)}


def test_days_that_failed_are_told_when_the_run_over_them_is_canceled(histories: Histories, webhook: Webhook) -> None:
    ticks = begun(histories, webhook.url())
    # Resumed once: the first of them succeeded at last, and the second failed again.
    for day, reason in (("2020-08-05", "no disk"), ("2020-08-06", "no memory"), ("2020-08-06", "bad gzip")):
        record(histories, failed("eod", reason), FAILURE, tags=of_range(day))
    for day in ("2020-08-05", "2020-08-07"):
        record(histories, SUCCESS, tags=of_range(day))
    record(histories, FAILURE, tags=of_range("2020-08-10"))
    run = record(histories, tags=of_range())
    assert ticks.tick().startswith("daily_pipeline_2020-08-05..2020-08-14 failed")
    resumed = record(histories, CANCELING, CANCELED, tags=of_range(), parent_run_id=run.run_id, root_run_id=run.run_id)

    title = "daily_pipeline_2020-08-05..2020-08-14 was canceled, and days of it had failed"
    assert [ticks.tick(), ticks.tick()] == [f"{title}: sent to 1 channel", "nothing to send"]
    assert webhook.messages[-1]["title"] == title
    assert webhook.messages[-1]["message"] == (
        f"Failed: 2020-08-06, 2020-08-10\nReason of the first: bad gzip\nRun: http://ui:3000/runs/{resumed.run_id}"
    )


def test_days_that_failed_are_told_by_a_run_over_them_that_was_lost(histories: Histories, webhook: Webhook) -> None:
    ticks = begun(histories, webhook.url())
    record(histories, failed("eod", "no disk"), FAILURE, tags=of_range("2020-08-06"))
    record(histories, failed("eod", "its process is gone"), FAILURE, tags=of_range())
    record(histories, failed("eod", "1 of 2 days failed: 2020-08-06: no disk"), FAILURE, tags=of_range())

    ticks.tick()
    lost, failing = (message["message"].splitlines()[1:4] for message in webhook.messages)
    assert lost == ["Reason: its process is gone", "Attempts: 1", "Failed: 2020-08-06"]
    assert failing[:2] == ["Reason: 1 of 2 days failed: 2020-08-06: no disk", "Attempts: 1"]
    assert "Reason of the first: no disk" in webhook.messages[0]["message"]
    assert "Reason of the first" not in webhook.messages[1]["message"]


def test_a_tag_that_is_no_number_stops_no_alert(histories: Histories, ticks: Ticks) -> None:
    record(histories, tags={"dagster/partition": "2020-08-06", "dagster/retry_number": "twice"})

    assert ticks.tick() == f"daily_pipeline_2020-08-06 failed: {NOBODY}"


def test_a_canceled_run_over_days_of_which_none_has_failed_is_not_told(histories: Histories, ticks: Ticks) -> None:
    record(histories, SUCCESS, tags=of_range("2020-08-05"))
    record(histories, CANCELING, CANCELED, tags=of_range("2020-08-06"))
    record(histories, CANCELING, CANCELED, tags=of_range())

    assert ticks.tick() == "nothing to send"


def test_of_several_attempts_the_last_is_told(retrying: Histories, webhook: Webhook) -> None:
    ticks = begun(retrying, webhook.url())
    first = retrying.run("daily_pipeline", STARTED, FAILURE)
    assert [ticks.tick(), ticks.tick()] == ["waiting for the next attempt of 1 run"] * 2

    second = retry(retrying, first)
    assert [ticks.tick(), ticks.tick()] == ["waiting for the next attempt of 1 run"] * 2
    retrying.happened(second, STARTED)
    assert ticks.tick() == "nothing to send"
    retrying.happened(second, FAILURE)
    assert ticks.tick() == "daily_pipeline_2020-08-06 failed: sent to 1 channel"
    assert ticks.tick() == "nothing to send"
    assert "Attempts: 2\n" in webhook.messages[0]["message"]


def retry(histories: Histories, run_id: str) -> str:
    """As Dagster's daemon does: the new run is there before it is started."""
    first = histories.instance.get_run_by_id(run_id)
    assert first
    group = {"dagster/root_run_id": run_id, "dagster/parent_run_id": run_id}
    tags = {"dagster/partition": "2020-08-06", "dagster/retry_number": "1", **group}
    second = dg.DagsterRun(first.job_name, tags=tags, parent_run_id=run_id, root_run_id=run_id)
    histories.instance.add_run(second)
    histories.instance.add_run_tags(run_id, {"dagster/auto_retry_run_id": second.run_id})
    return second.run_id


def test_a_next_attempt_that_does_not_begin_is_waited_for_no_longer_than_ten_minutes(
    retrying: Histories, webhook: Webhook
) -> None:
    ticks = begun(retrying, webhook.url())
    retrying.run("daily_pipeline", STARTED, FAILURE)
    retrying.now += timedelta(seconds=600)
    assert ticks.tick() == "waiting for the next attempt of 1 run"
    retrying.now += timedelta(seconds=1)

    assert ticks.tick() == "daily_pipeline_2020-08-06 failed: sent to 1 channel"
    assert "It was to be tried again, but no attempt has begun." in webhook.messages[0]["message"]


def test_an_attempt_that_dagster_could_not_begin_is_told(retrying: Histories) -> None:
    ticks = begun(retrying)
    run_id = retrying.run("daily_pipeline", STARTED, FAILURE)
    ticks.tick()
    retrying.instance.add_run_tags(run_id, {"dagster/will_retry": "false"})

    assert ticks.tick() == f"daily_pipeline_2020-08-06 failed: {NOBODY}"


def test_a_failure_that_is_seen_before_dagster_has_marked_its_run_is_told_when_that_is_done(
    retrying: Histories,
) -> None:
    ticks = begun(retrying)
    run_id = retrying.run("daily_pipeline", STARTED)
    storage = retrying.instance.run_storage
    failure = FAILURE.of("daily_pipeline")
    entry = dg.EventLogEntry(  # type: ignore[no-untyped-call]
        None, logging.INFO, "", run_id, retrying.now.timestamp(), dagster_event=failure
    )
    retrying.instance.event_log_storage.store_event(entry)
    assert [ticks.tick(), ticks.tick()] == ["waiting for the next attempt of 1 run"] * 2
    storage.handle_run_event(run_id, failure, retrying.now)
    assert [ticks.tick(), ticks.tick()] == ["waiting for the next attempt of 1 run"] * 2
    storage.add_run_tags(run_id, {"dagster/will_retry": "false"})

    assert ticks.tick() == f"daily_pipeline_2020-08-06 failed: {NOBODY}"
    assert ticks.tick() == "nothing to send"


def test_a_run_that_was_deleted_is_not_told(histories: Histories, ticks: Ticks) -> None:
    run_id = histories.run("daily_pipeline", STARTED, FAILURE)
    histories.instance.run_storage.delete_run(run_id)

    assert ticks.tick() == "nothing to send"


def test_two_failure_events_of_one_run_are_one_alert(histories: Histories, ticks: Ticks) -> None:
    histories.run("daily_pipeline", STARTED, FAILURE, FAILURE)

    assert [ticks.tick(), ticks.tick()] == [f"daily_pipeline_2020-08-06 failed: {NOBODY}", "nothing to send"]
