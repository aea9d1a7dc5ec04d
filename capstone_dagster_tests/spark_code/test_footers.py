"""What the footers of parquet files show: how many rows they hold, and whether the files are whole."""

import io
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import LongType, StructField, StructType

from spark_code.footers import FooterError, count_rows
from spark_code.schemas import CLOSES, EVENTS, Table
from spark_code.storage import Storage

COLUMNS = {
    table.path: [c for c in table.schema if c.name not in ("trade_dt", "rec_type")] for table in (CLOSES, EVENTS)
}


def parquet(rows: int, columns: list[StructField], schema: str = "") -> bytes:
    """A file with these columns as Spark has written them, for those who read only its footer."""
    schema = schema or json.dumps(StructType(columns).jsonValue())
    content = pa.table({"a": list(range(rows))}).replace_schema_metadata(
        {"org.apache.spark.sql.parquet.row.metadata": schema}
    )
    file = io.BytesIO()
    pq.write_table(content, file)
    return file.getvalue()


def put(storage: Storage, table: Table, *rows: int) -> None:
    for number, count in enumerate(rows):
        storage.write(f"day/part-{number}.parquet", parquet(count, COLUMNS[table.path]))


def test_the_rows_of_all_files_are_counted(storage: Storage) -> None:
    put(storage, CLOSES, 3, 0, 2000)

    assert count_rows(storage, storage.objects("day"), CLOSES) == 2003
    assert count_rows(storage, [], CLOSES) == 0


def test_columns_that_are_folders_are_in_no_file(local_storage: Storage) -> None:
    put(local_storage, EVENTS, 1)

    assert count_rows(local_storage, local_storage.objects("day"), EVENTS) == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda content: content[:-1], "is no whole parquet file", id="without its last byte"),
        pytest.param(lambda content: content[: len(content) // 2], "is no whole parquet file", id="half"),
        pytest.param(lambda _: b"", "is no whole parquet file", id="empty"),
        pytest.param(lambda _: b"PAR1", "is no whole parquet file", id="its first bytes"),
        pytest.param(
            lambda _: parquet(2, [*COLUMNS[CLOSES.path][:-1], StructField("close_pr", LongType())]),
            "holds .*close_pr:bigint.*, not .*close_pr:decimal",
            id="another type",
        ),
        pytest.param(lambda _: parquet(2, COLUMNS[CLOSES.path][:-1]), "holds .*, not ", id="a column less"),
        *(
            pytest.param(lambda _, text=text: parquet(2, [], text), "has a schema .* that cannot be read: ", id=text)
            for text in ("[]", '{"fields": 7}', '{"fields": [{"name": "a", "type": "strimg"}]}', "{")
        ),
        pytest.param(
            lambda _: parquet(2, COLUMNS[CLOSES.path][::-1]), "holds struct<close_pr.*, not ", id="in another order"
        ),
    ],
)
def test_a_file_that_is_not_whole_or_has_other_columns_is_refused(
    storage: Storage, damage: Callable[[bytes], bytes], reason: str
) -> None:
    put(storage, CLOSES, 1, 2)
    storage.write("day/part-1.parquet", damage(parquet(2, COLUMNS[CLOSES.path])))

    with pytest.raises(FooterError, match=f"day/part-1.parquet {reason}"):
        count_rows(storage, storage.objects("day"), CLOSES)


def test_a_file_that_has_gone_since_it_was_listed_is_refused(storage: Storage) -> None:
    put(storage, CLOSES, 1, 2)
    listed = storage.objects("day")
    storage.delete(["day/part-0.parquet"])

    with pytest.raises(FooterError, match=r"day/part-0.parquet is gone"):
        count_rows(storage, listed, CLOSES)
