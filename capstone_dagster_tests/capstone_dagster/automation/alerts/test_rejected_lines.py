"""Which published days are told for their rejected lines, each version once."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData

from capstone_dagster.assets.metadata import materialization_metadata
from capstone_dagster.automation.alerts.rejected_lines import rejected_lines
from capstone_dagster_tests.builders.run_histories import STARTED, Histories
from capstone_dagster_tests.builders.ticks import Ticks
from capstone_dagster_tests.servers.webhook_server import Webhook
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import EVENTS

DAY = "2020-08-06"
REASONS = {"blank": 3, "bad_json": 400, "bad_number": 20, "missing_field": 1, "too_long": 5, "wrong_exchange": 80}


def published(histories: Histories, run_id: str, lines: int, **rejected: int) -> None:
    """As a step tells of a version that it has published."""
    measures = {"rejected": sum(rejected.values())} | {f"rejected_{reason}": n for reason, n in rejected.items()}
    version = f"{DAY}-1-{run_id[:8]}-1"
    manifest = Manifest(DAY, version, [], lines, 0, run_id, 1, 1, "2020-08-06T22:00:00", {}, measures)
    reported(histories, run_id, materialization_metadata(EVENTS, manifest, [], 1.0, Lake("/nowhere")))


def reported(histories: Histories, run_id: str, metadata: Any) -> None:
    materialization = dg.AssetMaterialization(["ingested", "events"], partition=DAY, metadata=metadata)
    event = dg.DagsterEvent("ASSET_MATERIALIZATION", "j", event_specific_data=StepMaterializationData(materialization))
    histories.instance.report_dagster_event(event, run_id, timestamp=histories.now.timestamp())


@pytest.fixture
def ticks(histories: Histories, webhook: Webhook) -> Ticks:
    """Those after the first, which only begins."""
    ticks = Ticks(histories, rejected_lines, webhook.url())
    ticks.tick()
    return ticks


def test_a_day_with_too_many_rejected_lines_is_told_once(histories: Histories, ticks: Ticks, webhook: Webhook) -> None:
    run_id = histories.run("daily_pipeline", STARTED)
    published(histories, run_id, 10_000, **REASONS)

    title = "daily_pipeline_2020-08-06: 5.09% of the lines were rejected"
    assert [ticks.tick(), ticks.tick(), ticks.tick()] == [f"{title}: sent to 1 channel", *["nothing to send"] * 2]
    (message,) = webhook.messages
    assert message["title"] == title
    assert message["message"] == (
        "Day: 2020-08-06\n"
        "Rejected: 509 of 10,000 lines, which is 5.09%; allowed are 5.00%\n"
        "Mostly: bad_json 400, wrong_exchange 80, bad_number 20, too_long 5, blank 3\n"
        f"Run: http://ui:3000/runs/{run_id}\n"
        "Page: http://pages/lake/report/page/2020-08-06.html"
    )


@pytest.mark.parametrize(("lines", "blank"), [(10_000, 500), (10_000, 0), (0, 0)])
def test_a_day_with_no_more_than_allowed_is_not_told(
    histories: Histories, ticks: Ticks, lines: int, blank: int
) -> None:
    published(histories, histories.run("preprocessing", STARTED), lines, blank=blank)

    assert ticks.tick() == "nothing to send"


def test_what_was_published_before_the_first_tick_is_not_told_and_a_new_version_of_the_day_is(
    histories: Histories, webhook: Webhook
) -> None:
    published(histories, histories.run("preprocessing", STARTED), 10, blank=9)
    ticks = Ticks(histories, rejected_lines, webhook.url())
    assert [ticks.tick(), ticks.tick()] == ["looks at events from now on", "nothing to send"]
    for _ in range(2):
        published(histories, histories.run("preprocessing", STARTED), 10, blank=8)
    ticks.tick()

    assert webhook.titles == ["preprocessing_2020-08-06: 80.00% of the lines were rejected"] * 2


def test_a_materialization_that_somebody_has_reported_by_hand_is_passed_over(
    histories: Histories, ticks: Ticks, webhook: Webhook
) -> None:
    by_hand = dg.AssetMaterialization(["ingested", "events"], partition=DAY, metadata={"rejected": 9, "lines_in": 9})
    histories.instance.report_runless_asset_event(by_hand)
    reported(histories, histories.run("preprocessing", STARTED), {"rejected": "many"})
    published(histories, histories.run("analytical", STARTED), 10, blank=9)
    ticks.tick()

    assert webhook.titles == ["analytical_2020-08-06: 90.00% of the lines were rejected"]


@pytest.mark.parametrize(
    "reasons",
    [
        pytest.param(dg.MetadataValue.md("| reason | lines |\n|---|---|\n| blank | 9 |"), id="of an older release"),
        pytest.param(dg.MetadataValue.text("none"), id="none"),
        pytest.param(dg.MetadataValue.table([dg.TableRecord({"why": "blank", "lines": 9})]), id="another table"),
        pytest.param(dg.MetadataValue.table([dg.TableRecord({"reason": "blank", "lines": "nine"})]), id="no numbers"),
    ],
)
def test_a_day_whose_reasons_are_not_recorded_as_numbers_is_told_once_without_them(
    histories: Histories, ticks: Ticks, webhook: Webhook, reasons: Any
) -> None:
    """Before an upgrade, reasons were Markdown for people; the counts were numbers all along."""
    run_id = histories.run("preprocessing", STARTED)
    reported(histories, run_id, {"rejected": 9, "lines_in": 10, "rejects_by_reason": reasons})

    assert ticks.tick() == "preprocessing_2020-08-06: 90.00% of the lines were rejected: sent to 1 channel"
    assert [ticks.tick(), ticks.tick()] == ["nothing to send"] * 2
    (message,) = webhook.messages
    assert message["message"].splitlines()[1:3] == [
        "Rejected: 9 of 10 lines, which is 90.00%; allowed are 5.00%",
        "Mostly: not recorded",
    ]
