"""What parquet files say about themselves in their footers: how many rows they hold, of which columns.

A footer is the end of a file, some kilobytes that are written last, so that a file without its end has none. It is read
through ``storage``, by this process: one request a file and no Spark.
"""

import json
from collections.abc import Sequence

from pyspark.sql.types import StructType

from spark_code.locations import shown
from spark_code.schemas import Table
from spark_code.storage import Storage, StoredObject, at_once

# Where Spark puts the schema of the rows that it has written.
_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


class FooterError(Exception):
    """A file is no whole parquet file, or holds other columns."""


def count_rows(storage: Storage, files: Sequence[StoredObject], table: Table) -> int:
    """The rows that the files hold together, all of which must have the columns of the table that no folder names."""
    columns = table.in_files(table.schema)
    return sum(at_once(lambda file: rows_of(storage, file.key, columns), files))


def rows_of(storage: Storage, key: str, columns: StructType) -> int:
    """The rows of one file, which must have these columns."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for who writes; commands import ``lake``
    import pyarrow.parquet as pq  # noqa: PLC0415 - the same

    uri = shown(storage.uri(key))
    try:
        opened = storage.open(key)
        if opened is None:
            raise FooterError(f"{uri} is gone")
        with opened:
            footer = pq.read_metadata(opened)
    except (pa.ArrowException, OSError) as error:
        raise FooterError(f"{uri} is no whole parquet file: {shown(str(error))}") from error
    schema = (footer.metadata or {}).get(_SCHEMA)
    if schema is None:
        raise FooterError(f"{uri} was not written by Spark")
    try:
        written, due = StructType.fromJson(json.loads(schema)).simpleString(), columns.simpleString()
    except Exception as error:  # PySpark raises whatever comes of fields that are not there
        raise FooterError(f"{uri} has a schema in its footer that cannot be read: {shown(str(error))}") from error
    if written != due:
        raise FooterError(f"{uri} holds {written}, not {due}")
    return int(footer.num_rows)
