"""Published rows of a table as Arrow batches, of one day or of many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Self

from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, parse_day, parse_range
from spark_code.errors import ExpectedError
from spark_code.lake import Lake, LakeError, MissingFilesError
from spark_code.manifest import Manifest
from spark_code.schemas import TABLES, Table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc

_BATCH_ROWS = 10_000


class UnknownNameError(ExpectedError):
    """No table, or no column of a table, has this name."""


class NothingPublishedError(LakeError):
    """None of the days that were asked for is published."""


@dataclass(frozen=True)
class Days:
    """One day, the days from one to another, or all days."""

    first: date | None = None
    last: date | None = None
    is_one: bool = False

    @classmethod
    def parse(cls, spec: str | None) -> Self:
        """Read ``DATE`` or ``FROM..TO``; None is all days."""
        if spec is None:
            return cls()
        if ".." in spec:
            return cls(*parse_range(spec))
        day = parse_day(spec)
        return cls(day, day, is_one=True)

    def published(self, lake: Lake, table: Table) -> list[Manifest]:
        """The published versions of these days, in order; an error if there are none."""
        if self.first and self.is_one:
            return [lake.require(table, self.first)]
        found = lake.published(table, self.first, self.last)
        if not found:
            of_days = f" from {self.first} to {self.last}" if self.first else ""
            spec = f"{self.first}..{self.last}" if self.first else "DATE"
            raise NothingPublishedError(
                f"nothing of {table.path}{of_days} is published in {lake.storage.root}; make it with: "
                f"capstone run {spec}"
            )
        return found


@dataclass(frozen=True)
class Only:
    """Which rows and columns of a table are wanted; None is all."""

    symbols: Sequence[str] | None = None
    exchanges: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    minutes: Sequence[int] | None = None
    """The lengths of bars, for ``report/bars``."""


def read(  # noqa: PLR0913 - one for each thing that people may want less of
    table: str,
    first: str | date | None = None,
    last: str | date | None = None,
    *,
    symbols: str | Sequence[str] | None = None,
    exchanges: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
) -> "pa.Table":
    """The published rows of a table as an Arrow table, which pandas, Polars and DuckDB take.

    Of the days from ``first`` to ``last``; without ``last`` of one day, and without both of every published day.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who read rows

    if table not in TABLES:
        raise UnknownNameError(f"{table!r} is not a table; the tables are {', '.join(TABLES)}")
    known, only = TABLES[table], Only(_texts(symbols), _texts(exchanges), _texts(columns))
    if unknown := [name for name in only.columns or () if name not in known.columns]:
        raise UnknownNameError(f"{unknown[0]!r} is not a column of {table}; its columns are {', '.join(known.columns)}")
    lake = Lake(Settings.from_environment().lake_uri)
    found = batches(lake, known, Days.parse(spec_of(first, last)).published(lake, known), only)
    return pa.Table.from_batches(found, arrow_schema(known, only))


def spec_of(first: str | date | None, last: str | date | None) -> str | None:
    """``DATE`` or ``FROM..TO``, as commands take it; None for all days."""
    if first is None and last is not None:
        raise NoTradingDayError(f"the last day is {last}, and the first is missing")
    return None if first is None else f"{first}" if last is None else f"{first}..{last}"


def rows_of(found: "Iterator[pa.RecordBatch]") -> Iterator[list[Any]]:
    """The rows of batches."""
    return (list(row.values()) for batch in found for row in batch.to_pylist())


def batches(
    lake: Lake, table: Table, versions: Sequence[Manifest], only: Only | None = None
) -> "Iterator[pa.RecordBatch]":
    """The rows of published versions, in the order of the days, the files and the schema."""
    only = only or Only()
    schema, condition = arrow_schema(table, only), _condition(table, only)
    for version in versions:
        for path in version.paths:
            yield from _batches_in(lake, table, version, path, schema=schema, condition=condition)


def arrow_schema(table: Table, only: Only | None = None) -> "pa.Schema":
    """The wanted columns in types of Arrow."""
    import pyarrow as pa  # noqa: PLC0415 - the same
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - loads pandas

    schema: pa.Schema = to_arrow_schema(table.schema).remove_metadata()
    names = only.columns if only and only.columns is not None else table.columns
    return pa.schema([pa.field(name, schema.field(name).type) for name in names])


def _condition(table: Table, only: Only) -> "pc.Expression | None":
    import pyarrow as pa  # noqa: PLC0415 - the same
    import pyarrow.compute as pc  # noqa: PLC0415 - the same

    texts, whole = pa.string(), pa.int64()
    asked = (("symbol", only.symbols, texts), ("exchange", only.exchanges, texts), ("minutes", only.minutes, whole))
    given = [(name, values, kind) for name, values, kind in asked if values is not None]
    if unknown := [name for name, _, _ in given if name not in table.columns]:
        raise UnknownNameError(f"{table.path} has no column {unknown[0]} to choose rows by")
    wanted = [pc.field(name).isin(pa.array(list(values), kind)) for name, values, kind in given]
    return reduce(and_, wanted) if wanted else None


def _batches_in(  # noqa: PLR0913 - what is the same for all files comes last
    lake: Lake,
    table: Table,
    version: Manifest,
    path: str,
    *,
    schema: "pa.Schema",
    condition: "pc.Expression | None",
) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa  # noqa: PLC0415 - the same
    import pyarrow.dataset as ds  # noqa: PLC0415 - the same

    in_path: dict[str, Any] = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
    in_path["trade_dt"] = day = date.fromisoformat(version.trade_dt)
    file = lake.storage.open(path)
    if file is None:
        raise MissingFilesError(table, day, [lake.storage.uri(path)])
    try:
        # Groups of rows without a wanted symbol are not read.
        found = ds.ParquetFileFormat().make_fragment(pa.PythonFile(file, mode="r"))
        in_file = [name for name in schema.names if name in found.physical_schema.names]
        for batch in found.to_batches(columns=in_file, filter=condition, batch_size=_BATCH_ROWS, use_threads=False):
            # What the table has gained since the version was published, is null, as for Spark.
            columns = [
                batch.column(name) if name in in_file else pa.repeat(in_path.get(name), batch.num_rows)
                for name in schema.names
            ]
            yield pa.RecordBatch.from_arrays(
                [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
            )
    except (pa.ArrowException, OSError) as error:
        raise LakeError(f"{lake.storage.uri(path)} cannot be read: {error}") from error


def _texts(given: str | Sequence[str] | None) -> Sequence[str] | None:
    """One or several; each once."""
    return (given,) if isinstance(given, str) else given and tuple(dict.fromkeys(given))
