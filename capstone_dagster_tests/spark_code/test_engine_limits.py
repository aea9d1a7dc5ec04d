"""``spark_code`` runs wherever Spark runs: without Dagster, and with no more than Spark Connect has."""

import io
import json
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

import spark_code
from capstone_dagster_tests.builders.rows import DAY, Row
from spark_code.lake import Lake
from spark_code.manifest import Attempt
from spark_code.schemas import TABLES, Table
from spark_code.submit import Work

SOURCES = sorted(Path(spark_code.__file__).parent.glob("*.py"))
PROJECT = Path(spark_code.__file__).parents[1]

# What needs the driver's JVM, which Connect does not have, or Python for single rows, which is slow.
OUT_OF_BOUNDS = {"sparkContext", "SparkContext", "_jvm", "_jdf", "_jsc", "_jsparkSession", "rdd", "RDD"} | {
    "udf",
    "udtf",
    "pandas_udf",
    "UserDefinedFunction",
    "mapInPandas",
    "applyInPandas",
    "foreachPartition",
}

IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
import spark_code
names = [module.name for module in pkgutil.walk_packages(spark_code.__path__, "spark_code.")]
for name in names:
    importlib.import_module(name)
print(json.dumps([names, sorted(sys.modules)]))
"""

RUN_ON_CONNECT = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from capstone_dagster_tests.spark_code.test_engine_limits import publish_day
from spark_code import raw_to_ingested
from spark_code.session import ENGINE_CONF
raw_to_ingested.SMALL_BYTES = 0
builder = SparkSession.builder.remote("local[2]").config("spark.sql.shuffle.partitions", "2")
for key, value in ENGINE_CONF.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
print(type(spark).__module__)
publish_day(spark, Path(sys.argv[1]), Path(sys.argv[2]))
"""

NYSE_LINES = """\
2020-08-06,2020-08-06 09:30:00.000,T,IBM,2020-08-06 10:00:00.000,1,NYSE,125.5,100
2020-08-06,2020-08-06 09:30:00.000,T,IBM,2020-08-06 10:30:00.000,2,NYSE,126.25,200
2020-08-06,2020-08-06 16:30:00.000,T,IBM,2020-08-06 10:30:00.000,2,NYSE,126.75,300
2020-08-06,2020-08-06 09:30:00.000,Q,IBM,2020-08-06 10:30:00.000,3,NYSE,126.1,100,126.4,300
2020-08-06,2020-08-06 09:30:00.000,X,no event of any kind
"""
NASDAQ_LINES = """\
{"trade_dt": "2020-08-06", "file_tm": "2020-08-06 09:30:00", "event_type": "T", "symbol": "AAPL", \
"event_tm": "2020-08-06 09:31:00.000001", "event_seq_nb": 1, "exchange": "NASDAQ", "price": 441.619995, "size": 7, \
"execution_id": "a-1", "venue": "a field nobody knows"}
{"trade_dt": "2020-08-06", "file_tm": "2020-08-06 09:30:00", "event_type": "Q", "symbol": "AAPL", \
"event_tm": "2020-08-06 09:30:59", "event_seq_nb": 2, "exchange": "NASDAQ", "bid_pr": 441.5, "bid_size": 1, \
"ask_pr": 441.75, "ask_size": 2}
{"no json
"""


def publish_day(spark: SparkSession, raw: Path, lake: Path) -> None:
    """All three edges of the day, as plain spark-submit runs them."""
    for job in ("preprocessing", "analytical"):
        Work(job, DAY, None, str(raw), Lake(str(lake))).run(spark, Attempt.begin(job))


def names_used(source: str) -> set[str]:
    """The names in the code; comments and texts are other tokens."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def published_rows(lake: Path, table: Table) -> list[Row]:
    """The rows of the day read by an engine that is not Spark, from the paths in the manifest."""
    manifest = Lake(str(lake)).manifest(table, DAY)
    assert manifest is not None
    files = [str(lake / path) for path in manifest.paths]
    columns = ", ".join(table.columns)
    query = f"SELECT {columns} FROM read_parquet(?, hive_partitioning = true) ORDER BY ALL"  # noqa: S608
    return duckdb.execute(query, [files]).fetchall()


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same raw day published by Spark in this process and, at the same time, through Spark Connect."""
    folder = tmp_path_factory.mktemp("engines")
    raw, classic, connect = folder / "raw", folder / "classic", folder / "connect"
    for place, lines in (("csv/2020-08-06/NYSE", NYSE_LINES), ("json/2020-08-06/NASDAQ", NASDAQ_LINES)):
        (raw / place).mkdir(parents=True)
        (raw / place / "part-0.txt").write_text(lines)
        (raw / place / "too long for the reader.txt").write_bytes(b"x" * 3 * 2**20 + b"\nand another line")
    environment = os.environ | {"SPARK_TESTING": "1"}  # it gives the server a free port
    log = folder / "connect.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-c", RUN_ON_CONNECT, raw, connect],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            publish_day(spark, raw, classic)
            status = process.wait(timeout=300)
        finally:
            # Where it has ended this does nothing; its JVM ends with it.
            process.kill()
    said = log.read_text()
    assert status == 0, said[-4000:]
    assert "pyspark.sql.connect.session" in said
    return classic, connect


def test_no_module_brings_dagster_along() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    imported, loaded = json.loads(result.stdout)
    assert {f"spark_code.{source.stem}" for source in SOURCES if source.stem != "__init__"} == set(imported)
    assert [name for name in loaded if name.split(".")[0] in ("dagster", "capstone_dagster")] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_code_reaches_for_what_spark_connect_has_not(source: Path) -> None:
    assert names_used(source.read_text()) & OUT_OF_BOUNDS == set()


def test_python_runs_in_tasks_only_on_whole_batches_and_takes_no_line_out_of_them() -> None:
    used = {source.name: names_used(source.read_text()) for source in SOURCES}
    assert [name for name, names in used.items() if "mapInArrow" in names] == ["python_tasks.py"]
    of_rows = {"to_pylist", "as_py", "to_pydict", "fetchall", "fetchone", "to_pandas", "iterrows"}
    assert used["line_judge.py"] & of_rows == set()
    assert used["raw_lines.py"] & of_rows == {"to_pylist"}  # for lines that are not UTF-8


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("rows.rdd.map(len)", {"rdd"}),
        ("spark._jvm.java", {"_jvm"}),
        ("F.udf(len)", {"udf"}),
        ("@udf\ndef f(): pass", {"udf"}),
        ("spark.sparkContext", {"sparkContext"}),
        ("# rdd\n'udf(_jvm)'\nx = 'sparkContext'", set()),
    ],
)
def test_the_search_finds_code_and_no_comments(code: str, found: set[str]) -> None:
    assert names_used(code) & OUT_OF_BOUNDS == found


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_spark_connect_publishes_the_rows_of_spark_in_this_process(lakes: tuple[Path, Path], table: Table) -> None:
    classic, connect = lakes
    assert published_rows(classic, table) != []
    assert published_rows(connect, table) == published_rows(classic, table)


def test_spark_connect_gives_the_manifest_the_same_counts_and_facts(lakes: tuple[Path, Path]) -> None:
    facts = []
    for lake in map(Lake, map(str, lakes)):
        manifests = [lake.manifest(table, DAY) for table in TABLES.values()]
        facts.append([(manifest.rows, manifest.measures, manifest.facts) for manifest in manifests if manifest])
    classic, connect = facts
    assert len(classic) == len(TABLES)
    assert connect == classic
