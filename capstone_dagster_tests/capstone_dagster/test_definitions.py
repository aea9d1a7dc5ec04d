"""The asset graph as people see it, and that loading it needs nothing and warns of nothing."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.definitions import build_defs
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.platform import Platform

ROOT = Path(__file__).parents[2]

GRAPH = """\
raw/nasdaq <-
raw/nyse <-
ingested/events <- raw/nasdaq raw/nyse
eod/closes <- ingested/events
eod/quotes <- ingested/events
eod/trades <- ingested/events
quality/measures <- eod/closes eod/quotes eod/trades ingested/events
report/bars <- eod/closes eod/quotes eod/trades quality/measures
report/daily_summary <- eod/closes eod/quotes eod/trades quality/measures
report/index <- report/page
report/page <- ingested/events quality/measures report/bars report/daily_summary report/quote_analytics
report/quote_analytics <- eod/closes eod/quotes eod/trades quality/measures
warehouse/bars_30m <- report/bars
warehouse/daily_summary <- report/daily_summary
warehouse/quality_measures <- quality/measures
job analytical: quality/measures report/bars report/daily_summary report/index report/page report/quote_analytics \
warehouse/bars_30m warehouse/daily_summary warehouse/quality_measures
job daily_pipeline: eod/closes eod/quotes eod/trades ingested/events quality/measures report/bars \
report/daily_summary report/index report/page report/quote_analytics warehouse/bars_30m warehouse/daily_summary \
warehouse/quality_measures
job preprocessing: eod/closes eod/quotes eod/trades ingested/events
check eod/closes: prices in no job
check eod/quotes: quotes in no job
check eod/trades: trades in no job
check ingested/events: lines in no job
check report/daily_summary: landed in no job
schedule trading_day_schedule: daily_pipeline at 0 19 * * 1-5 America/New_York
sensor changed_closes
sensor failed_jobs
sensor late_days
sensor new_files
sensor rejected_lines"""


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return Platform(tmp_path_factory.mktemp("defs"), date(2020, 8, 5), warehouse=True).defs


def _keys(keys: object) -> str:
    return " ".join(sorted(key.to_user_string() for key in keys))  # type: ignore[attr-defined]


def _schedules(defs: dg.Definitions) -> list[dg.ScheduleDefinition]:
    return [schedule for schedule in defs.schedules or [] if isinstance(schedule, dg.ScheduleDefinition)]


def test_the_graph_is_the_one_of_the_picture(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    lines = [
        f"{key.to_user_string()} <- {_keys(graph.get(key).parent_keys)}".strip() for key in graph.toposorted_asset_keys
    ]
    layers = ["raw", "ingested", "eod", "quality", "report", "warehouse"]
    lines.sort(key=lambda line: (layers.index(line.split("/")[0]), line))
    jobs = {job: defs.resolve_job_def(job).asset_layer for job in ("analytical", "daily_pipeline", "preprocessing")}
    lines += [f"job {job}: {_keys(layer.selected_asset_keys)}" for job, layer in jobs.items()]
    for check in sorted(graph.asset_check_keys):
        of = [job for job, layer in jobs.items() if check in layer.asset_graph.asset_check_keys]
        lines.append(f"check {check.asset_key.to_user_string()}: {check.name} in {' '.join(of) or 'no job'}")
    for schedule in _schedules(defs):
        at = f"{schedule.cron_schedule} {schedule.execution_timezone}"
        lines.append(f"schedule {schedule.name}: {schedule.job_name} at {at}")
    lines += sorted(f"sensor {sensor.name}" for sensor in defs.sensors or [])
    assert "\n".join(lines) == GRAPH


def _copied(settings: Settings) -> list[tuple[str, ...]]:
    """The tables of the warehouse in the graph and in its jobs."""
    defs = build_defs(settings)
    graph = defs.resolve_asset_graph()
    found = [graph.get_all_asset_keys(), *(defs.resolve_job_def(job).asset_layer.selected_asset_keys for job in JOBS)]
    return [tuple(sorted(key.path[-1] for key in keys if key.path[0] == "warehouse")) for keys in found]


JOBS = ("daily_pipeline", "analytical", "preprocessing")


def test_the_warehouse_is_left_out_or_has_the_quotes_too_as_the_settings_say() -> None:
    some = ("bars_30m", "daily_summary", "quality_measures")
    more = (*some, "quote_analytics")

    assert _copied(Settings.from_mapping({})) == [some, some, some, ()]
    assert _copied(Settings.from_mapping({"CAPSTONE_WAREHOUSE_QUOTES": "true"})) == [more, more, more, ()]
    assert _copied(Settings.from_mapping({"CAPSTONE_WAREHOUSE": "false"})) == [(), (), (), ()]


def test_the_graph_and_its_jobs_are_the_same_on_emr(defs: dg.Definitions) -> None:
    on_emr = build_defs(Settings.from_mapping({**EMR, "CAPSTONE_FIRST_TRADING_DAY": "2020-08-05"}))
    assert on_emr.resolve_asset_graph().toposorted_asset_keys == defs.resolve_asset_graph().toposorted_asset_keys
    for job in defs.resolve_all_job_defs():
        assert on_emr.resolve_job_def(job.name).graph.node_dict.keys() == job.graph.node_dict.keys()
    sensors = [{sensor.name for sensor in found.sensors or []} for found in (on_emr, defs)]
    assert sensors[0] - sensors[1] == {"emr_reaper"}


@pytest.mark.parametrize("automation", ["true", "false"])
def test_everything_that_looks_around_begins_as_automation_says_and_says_what_for(automation: str) -> None:
    defs = build_defs(Settings.from_mapping({**EMR, "CAPSTONE_AUTOMATION": automation}))
    sensors = [sensor for sensor in defs.sensors or [] if isinstance(sensor, dg.SensorDefinition)]
    looking: list[dg.SensorDefinition | dg.ScheduleDefinition] = [*sensors, *_schedules(defs)]
    for sensor_or_schedule in looking:
        assert sensor_or_schedule.description, sensor_or_schedule.name

    begins = {each.name for each in looking if each.default_status.value == "RUNNING"}
    # What a cluster costs that nobody uses any more has to do with no switch.
    assert begins == ({each.name for each in looking} if automation == "true" else {"emr_reaper"})


def test_all_assets_share_one_partitions_definition(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert len({graph.get(key).partitions_def for key in graph.get_all_asset_keys()}) == 1


def test_all_assets_are_of_one_group_that_the_ui_does_not_fold_and_a_tag_has_their_layer(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        asset = graph.get(key)
        assert (asset.group_name, asset.tags["layer"]) == ("market_data", key.path[0])


def test_the_assets_have_the_owners_of_the_setting() -> None:
    graph = build_defs(Settings.from_mapping({"CAPSTONE_OWNERS": "team:feeds,desk@firm.example"})).resolve_asset_graph()
    assert {tuple(graph.get(key).owners) for key in graph.get_all_asset_keys()} == {("team:feeds", "desk@firm.example")}


def _code(settings: dict[str, str]) -> dict[str, str]:
    """Where the UI says that the code of each asset is."""
    graph = build_defs(Settings.from_mapping(settings)).resolve_asset_graph()
    known = {key: graph.get(key).metadata.get("dagster/code_references") for key in graph.get_all_asset_keys()}
    found = {key: references.code_references for key, references in known.items() if references}
    return {
        key.to_user_string(): one.url if isinstance(one, dg.UrlCodeReference) else f"{one.file_path}#L{one.line_number}"
        for key, (one,) in found.items()
    }


def test_what_code_makes_has_a_link_to_it_in_the_checkout_or_where_the_setting_says() -> None:
    here, there = _code({}), _code({"CAPSTONE_CODE_URL": "https://git.firm.example/market-data/blob/v1"})

    path, line = here["eod/trades"].split("#L")
    assert Path(path) == ROOT / "capstone_dagster/assets/eod.py"
    assert "multi_asset" in Path(path).read_text().splitlines()[int(line) - 1]
    address = f"https://git.firm.example/market-data/blob/v1/capstone_dagster/assets/eod.py#L{line}"
    assert there["eod/trades"] == address
    assert {key.split("/")[0] for key in there} == {"ingested", "eod", "quality", "report", "warehouse"}


def test_every_asset_says_what_one_row_means(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        text = graph.get(key).description or ""
        assert "One " in text, key
        assert "Source: " in text, key


EMR = {
    "CAPSTONE_DEPLOYMENT": "emr",
    "CAPSTONE_RAW_URI": "s3://bucket/raw",
    "CAPSTONE_LAKE_URI": "s3://bucket/lake",
    "CAPSTONE_EMR_STAGING_URI": "s3://bucket/staging",
}


@pytest.mark.parametrize("deployment", [{}, EMR], ids=["local", "emr"])
def test_loading_needs_no_jvm_database_network_or_credentials_and_warns_of_nothing(
    tmp_path: Path, deployment: dict[str, str]
) -> None:
    """In a process without Java, Postgres, AWS settings or a home; a socket that is opened fails it."""
    program = (
        "import platform, socket, subprocess, warnings\n"
        "platform.architecture()\n"  # a dependency asks for it, and it starts a process once
        "import dagster, pyspark, dagster_pyspark\n"  # their own warnings are not ours
        "def refuse(*args, **kwargs): raise AssertionError('network or process at import')\n"
        "socket.socket.connect = subprocess.Popen.__init__ = refuse\n"
        "warnings.simplefilter('error')\n"
        "from capstone_dagster.definitions import defs\n"
        "print(len(defs.resolve_all_job_defs()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "HOME": str(tmp_path), "CAPSTONE_HOME": str(tmp_path), **deployment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert int(ran.stdout) >= 3


@pytest.mark.parametrize(
    ("command", "deployment"),
    [
        ("dagster definitions validate", {"CAPSTONE_DEPLOYMENT": "local"}),
        ("dagster definitions validate", EMR),
        ("dg check defs", {}),
        ("dg list defs", {}),
    ],
)
def test_dagsters_own_tools_accept_the_project(command: str, deployment: dict[str, str], tmp_path: Path) -> None:
    name, *arguments = command.split()
    tool = str(Path(sys.executable).with_name(name))
    environment = os.environ | {"CAPSTONE_HOME": str(tmp_path), "VIRTUAL_ENV": sys.prefix} | deployment
    ran = subprocess.run([tool, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
