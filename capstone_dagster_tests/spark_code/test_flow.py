"""The data flow: the steps agree with the edges and with Dagster's assets, and a new table needs no other list."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import spark_code
from capstone_dagster.assets.table_assets import asset_key
from capstone_dagster.definitions import defs
from spark_code.flow import STEPS, Read, Step, inputs_of, maker_of, tables_of
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TABLES, TRADES

PROJECT = Path(spark_code.__file__).parents[1]

# What a developer writes for a table of the most active symbols.
SCHEMA = """
MOST_ACTIVE = Table(
    "report",
    "most_active",
    _schema(_TRADE_DT, _SYMBOL, _EXCHANGE, ("volume", _WHOLE, "Shares traded")),
    key=("symbol", "exchange"),
)
TABLES = {**TABLES, MOST_ACTIVE.path: MOST_ACTIVE}
"""
EDGE = """
from spark_code.drafts import Draft
from spark_code.schemas import MOST_ACTIVE, conform

CODE_VERSION = "1"


def build(daily_summary):
    rows = daily_summary.rows.orderBy("volume", ascending=False).limit(10)
    return (Draft(MOST_ACTIVE, conform(rows, MOST_ACTIVE), daily_summary.as_input(), day=daily_summary.day),)
"""
STEP = '    Step("most_active", "analytical", most_active.build, reads=(Read(DAILY_SUMMARY),), makes=(MOST_ACTIVE,)),\n'
ASSET = """
import dagster as dg

from capstone_dagster.assets.table_assets import RETRIES, STEP_LAUNCHER, TRADING_DAY, table_out
from spark_code import most_active
from spark_code.schemas import MOST_ACTIVE


def stage(partitions, policy):
    @dg.multi_asset(
        name="most_active",
        ins={"daily_summary": dg.AssetIn(["report", "daily_summary"])},
        outs={
            "most_active": table_out(
                MOST_ACTIVE, "One row per symbol. Source: `report/daily_summary`.", most_active.CODE_VERSION
            )
        },
        partitions_def=partitions,
        backfill_policy=policy,
        required_resource_keys={RETRIES, STEP_LAUNCHER, TRADING_DAY},
    )
    def step(context, daily_summary):
        return most_active.build(daily_summary)[0]

    return [step]
"""
# What everybody else makes of it.
LOOK = """
import json
from datetime import date

from capstone_dagster.assets.jobs import ASSETS, HALVES
from capstone_dagster.automation.landed_days import has_landed
from capstone_dagster.cli.track_command import TrackedJob
from capstone_dagster.definitions import defs
from capstone_dagster.settings import Settings

settings = Settings.from_environment()
graph = defs.resolve_asset_graph()
(new,) = [key for key in graph.get_all_asset_keys() if key.path[-1] == "most_active"]
print(json.dumps({
    "parents": [key.to_user_string() for key in graph.get(new).parent_keys],
    "jobs": [job for job in ASSETS if new in defs.resolve_job_def(job).asset_layer.selected_asset_keys],
    "assets": [job for job, keys in ASSETS.items() if new in keys],
    "steps": [job for job, steps in HALVES.items() if "most_active" in steps],
    "tracked": [
        job for job in ASSETS
        if any(table.name == "most_active" for table in TrackedJob(settings, job, date(2020, 8, 6)).tables)
    ],
}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, with a schema, an edge, a line in the flow and a file of assets more."""
    for package in ("capstone_dagster", "spark_code"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = tmp_path / "spark_code"
    schemas, flow = code / "schemas.py", code / "flow.py"
    schemas.write_text(schemas.read_text() + SCHEMA)
    (code / "most_active.py").write_text(EDGE)
    imports, table = flow.read_text().split("STEPS = (\n")
    names = imports.replace("import eod_to_report,", "import eod_to_report, most_active,").replace(
        "EVENTS, QUALITY,", "EVENTS, MOST_ACTIVE, QUALITY,"
    )
    flow.write_text(names + "STEPS = (\n" + table.replace("\n)\n", f"\n{STEP})\n", 1))
    (tmp_path / "capstone_dagster" / "assets" / "most_active.py").write_text(ASSET)
    return tmp_path


def test_a_new_table_is_a_schema_an_edge_a_step_and_an_asset(project: Path) -> None:
    looked = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=project, capture_output=True, text=True, check=False, env={"PATH": ""}
    )

    assert looked.returncode == 0, looked.stderr
    both = ["daily_pipeline", "analytical"]
    assert json.loads(looked.stdout) == {
        "parents": ["report/daily_summary"],
        "jobs": both,
        "assets": both,
        "steps": ["analytical"],
        "tracked": both,
    }


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_assets_of_a_step_read_and_make_what_the_flow_says(step: Step) -> None:
    graph = defs.resolve_asset_graph()
    for table in step.makes:
        node = graph.get(asset_key(table))
        parents = {key for key in node.parent_keys if key.path[0] != "raw"}
        assert parents == {asset_key(read.table) for read in step.reads}
        assert any(key.path[0] == "raw" for key in node.parent_keys) == step.reads_deliveries
        for read in step.reads:
            mapping = node.partition_mappings.get(asset_key(read.table))
            offset = mapping.start_offset if isinstance(mapping, dg.TimeWindowPartitionMapping) else 0
            assert (offset == -1) == read.of_previous_day


def test_every_table_is_made_by_one_step() -> None:
    assert [table for step in STEPS for table in step.makes] == list(TABLES.values())


def test_what_a_job_makes_and_needs() -> None:
    assert tables_of("preprocessing") == (EVENTS, TRADES, QUOTES, CLOSES)
    assert inputs_of("preprocessing") == ()
    assert inputs_of("analytical") == (Read(EVENTS), Read(TRADES), Read(QUOTES), Read(CLOSES, of_previous_day=True))
    assert inputs_of("daily_pipeline") == (Read(CLOSES, of_previous_day=True),)
    assert maker_of(CLOSES).name == "eod"
