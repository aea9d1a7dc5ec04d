"""What a run is about, by whatever door it came: a job, or a part of one."""

from collections.abc import Mapping, Sequence

import dagster as dg
import pytest

from capstone_dagster.assets.job_of_run import job_of, what_ran
from capstone_dagster.assets.jobs import ASSETS, HALVES, JOB_NAMES, JobName
from capstone_dagster.definitions import defs
from capstone_dagster_tests.builders.run_histories import FAILURE, STARTED, Histories, failed

LOADED = ["eod/closes", "eod/quotes", "eod/trades", "ingested/events"]
REPORTED = ["quality/measures", "report/bars", "report/daily_summary", "report/quote_analytics"]
BESIDE = [
    *("report/index", "report/page"),
    *("warehouse/bars_30m", "warehouse/daily_summary", "warehouse/quality_measures"),
]
FROM_FAILURE = {"dagster/is_resume_retry": "true"}
FROM_ASSET_FAILURE = {"dagster/is_asset_resume_retry": "true"}
OF_SOME_DAYS = {
    "dagster/asset_partition_range_start": "2020-08-05",
    "dagster/asset_partition_range_end": "2020-08-07",
}


def about(histories: Histories, run_id: str) -> tuple[str | None, str]:
    run = histories.instance.get_run_by_id(run_id)
    assert run
    return job_of(histories.instance, run), what_ran(histories.instance, run)


@pytest.mark.parametrize("name", JOB_NAMES)
def test_the_assets_of_a_job_are_those_of_its_definition_that_are_in_the_lake(name: JobName) -> None:
    selected = defs.resolve_job_def(name).asset_layer.selected_asset_keys

    assert selected >= ASSETS[name]
    beside = {key.to_user_string() for key in selected - ASSETS[name]}
    assert beside == (set() if name == "preprocessing" else set(BESIDE))


@pytest.mark.parametrize(
    ("name", "assets", "known_as"),
    [
        ("preprocessing", None, "preprocessing_2020-08-06"),
        ("preprocessing", [], "preprocessing_2020-08-06"),
        ("__ASSET_JOB", [*LOADED, *REPORTED], "daily_pipeline_2020-08-06"),
        ("__ASSET_JOB", None, "daily_pipeline_2020-08-06"),
        ("__ASSET_JOB", LOADED, "preprocessing_2020-08-06"),
        ("__ASSET_JOB", REPORTED, "analytical_2020-08-06"),
        ("daily_pipeline", LOADED, "preprocessing_2020-08-06"),
        ("analytical", REPORTED, "analytical_2020-08-06"),
        ("__ASSET_JOB", [*REPORTED, *BESIDE], "analytical_2020-08-06"),
        ("__ASSET_JOB", [*LOADED, *REPORTED, BESIDE[0]], "daily_pipeline_2020-08-06"),
    ],
)
def test_a_run_of_just_the_assets_of_a_job_is_that_job(
    histories: Histories, name: str, assets: Sequence[str] | None, known_as: str
) -> None:
    run_id = histories.run(name, assets=assets)

    assert about(histories, run_id) == (known_as.rpartition("_")[0], known_as)


@pytest.mark.parametrize(
    ("name", "assets", "known_as"),
    [
        ("__ASSET_JOB", ["ingested/events"], "ingested/events of 2020-08-06"),
        ("__ASSET_JOB", ["report/daily_summary", "eod/closes"], "eod/closes, report/daily_summary of 2020-08-06"),
        ("daily_pipeline", ["ingested/events"], "ingested/events of 2020-08-06"),
        (
            "__ASSET_JOB",
            BESIDE,
            f"{', '.join(BESIDE)} of 2020-08-06",
        ),
        ("analytical", [REPORTED[1], BESIDE[0]], "report/bars, report/index of 2020-08-06"),
        ("preprocessing", [*LOADED, REPORTED[0]], f"{', '.join([*LOADED, REPORTED[0]])} of 2020-08-06"),
    ],
)
def test_a_run_of_other_assets_is_no_job(histories: Histories, name: str, assets: Sequence[str], known_as: str) -> None:
    assert about(histories, histories.run(name, assets=assets)) == (None, known_as)


def test_a_run_of_checks_alone_is_no_job(histories: Histories) -> None:
    check = dg.AssetCheckKey(dg.AssetKey(["ingested", "events"]), "lines")
    run = dg.DagsterRun(
        job_name="preprocessing", tags={"dagster/partition": "2020-08-06"}, asset_check_selection=frozenset({check})
    )

    assert what_ran(histories.instance, run) == "the check lines of 2020-08-06"


@pytest.mark.parametrize(
    ("tags", "assets", "steps"),
    [
        (FROM_FAILURE, [*LOADED, *REPORTED], ["report"]),
        (FROM_ASSET_FAILURE, REPORTED, None),
    ],
)
def test_what_goes_on_from_a_failure_is_what_failed(
    histories: Histories, tags: Mapping[str, str], assets: Sequence[str], steps: Sequence[str] | None
) -> None:
    first = histories.run("__ASSET_JOB", STARTED, failed("report"), FAILURE, assets=[*LOADED, *REPORTED])
    second = histories.run("__ASSET_JOB", STARTED, FAILURE, assets=assets, tags=tags, only_steps=steps, parent=first)
    third = histories.run("__ASSET_JOB", assets=assets, tags=tags, only_steps=steps, parent=second)

    known = ("daily_pipeline", "daily_pipeline_2020-08-06")
    assert [about(histories, run_id) for run_id in (second, third)] == [known, known]


def test_steps_that_somebody_has_chosen_to_run_again_are_a_part_and_so_is_what_goes_on_from_them(
    histories: Histories,
) -> None:
    first = histories.run("preprocessing", STARTED, failed("eod"), FAILURE)
    chosen = histories.run("preprocessing", STARTED, failed("eod"), FAILURE, only_steps=["eod"], parent=first)
    resumed = histories.run("preprocessing", tags=FROM_FAILURE, only_steps=["eod"], parent=chosen)
    whole = histories.run("preprocessing", only_steps=HALVES["preprocessing"], parent=first)

    alone = histories.run("preprocessing", only_steps=["eod"])  # as by --op-selection, without a run before

    part = (None, "the steps eod of preprocessing of 2020-08-06")
    assert [about(histories, run_id) for run_id in (chosen, resumed, alone)] == [part, part, part]
    assert about(histories, whole) == ("preprocessing", "preprocessing_2020-08-06")


def test_a_job_without_its_checks_is_that_job(histories: Histories) -> None:
    run_id = histories.run("preprocessing", only_steps=["ingested__events", "eod"])

    assert about(histories, run_id) == ("preprocessing", "preprocessing_2020-08-06")


def test_what_goes_on_from_a_deleted_run_is_about_what_it_says_itself(histories: Histories) -> None:
    run_id = histories.run("__ASSET_JOB", assets=LOADED, tags=FROM_FAILURE, only_steps=["eod"], parent="deleted")

    assert about(histories, run_id) == ("preprocessing", "preprocessing_2020-08-06")


def test_runs_that_name_each_other_as_parents_are_no_endless_search(histories: Histories) -> None:
    histories.run("preprocessing", run_id="a", tags=FROM_FAILURE, parent="b")
    histories.run("preprocessing", run_id="b", tags=FROM_FAILURE, parent="a")

    assert about(histories, "a") == ("preprocessing", "preprocessing_2020-08-06")


def test_a_run_over_days_is_the_job_of_these_days(histories: Histories) -> None:
    run = dg.DagsterRun(
        job_name="__ASSET_JOB",
        asset_selection=frozenset(dg.AssetKey(path.split("/")) for path in LOADED),
        tags=OF_SOME_DAYS,
    )

    assert what_ran(histories.instance, run) == "preprocessing_2020-08-05..2020-08-07"
