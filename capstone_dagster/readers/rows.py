"""Published rows of a table as Arrow batches, of one day or of many."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from itertools import islice
from operator import and_
from typing import TYPE_CHECKING, Any, Self

from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, parse_day
from spark_code.errors import ExpectedError
from spark_code.lake import Lake, LakeError, MissingFilesError
from spark_code.manifest import Manifest
from spark_code.schemas import TABLES, Table

if TYPE_CHECKING:
    import pyarrow as pa

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

    @classmethod
    def parse(cls, spec: str | None) -> Self:
        """Read ``DATE`` or ``FROM..TO``; None is all days."""
        if spec is None:
            return cls()
        first, last = map(parse_day, spec.split("..", 1)) if ".." in spec else (parse_day(spec),) * 2
        if first > last:
            raise NoTradingDayError(f"{spec}: {first} is after {last}")
        return cls(first, last)

    @property
    def is_one(self) -> bool:
        """Whether it is one day."""
        return self.first is not None and self.first == self.last

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
    """Which rows and columns of a table are wanted; nothing means all."""

    symbols: Sequence[str] = ()
    exchanges: Sequence[str] = ()
    columns: Sequence[str] = ()


def read(  # noqa: PLR0913 - one for each thing that people may want less of
    table: str,
    first: str | date | None = None,
    last: str | date | None = None,
    *,
    symbols: str | Sequence[str] = (),
    exchanges: str | Sequence[str] = (),
    columns: Sequence[str] = (),
) -> "pa.Table":
    """The published rows of a table as an Arrow table, which pandas, Polars and DuckDB take.

    Of the days from ``first`` to ``last``; without ``last`` of one day, and without ``first`` of every published day.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who read rows

    if table not in TABLES:
        raise UnknownNameError(f"{table!r} is not a table; the tables are {', '.join(TABLES)}")
    known = TABLES[table]
    if unknown := [name for name in columns if name not in known.columns]:
        raise UnknownNameError(f"{unknown[0]!r} is not a column of {table}; its columns are {', '.join(known.columns)}")
    span = None if first is None else f"{first}" if last is None else f"{first}..{last}"
    lake, only = Lake(Settings.from_environment().lake_uri), Only(_texts(symbols), _texts(exchanges), columns)
    found = batches(lake, known, Days.parse(span).published(lake, known), only)
    return pa.Table.from_batches(found, arrow_schema(known, only))


def first_rows(lake: Lake, table: Table, day: date, limit: int) -> list[list[Any]]:
    """The first rows of the published version, in schema order."""
    return list(islice(rows_of(batches(lake, table, [lake.require(table, day)])), limit))


def rows_of(found: "Iterator[pa.RecordBatch]") -> Iterator[list[Any]]:
    """The rows of batches."""
    return (list(row.values()) for batch in found for row in batch.to_pylist())


def batches(
    lake: Lake, table: Table, versions: Sequence[Manifest], only: Only | None = None
) -> "Iterator[pa.RecordBatch]":
    """The rows of published versions, in the order of the days, the files and the schema."""
    for version in versions:
        for path in version.paths:
            yield from _batches_in(lake, table, version, path, only or Only())


def arrow_schema(table: Table, only: Only | None = None) -> "pa.Schema":
    """The wanted columns in types of Arrow."""
    import pyarrow as pa  # noqa: PLC0415 - the same
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - loads pandas

    schema: pa.Schema = to_arrow_schema(table.schema).remove_metadata()
    names = (only and only.columns) or table.columns
    return pa.schema([pa.field(name, schema.field(name).type) for name in names])


def _batches_in(lake: Lake, table: Table, version: Manifest, path: str, only: Only) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa  # noqa: PLC0415 - the same
    import pyarrow.compute as pc  # noqa: PLC0415 - the same
    import pyarrow.dataset as ds  # noqa: PLC0415 - the same

    schema = arrow_schema(table, only)
    in_path: dict[str, Any] = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
    in_path["trade_dt"] = day = date.fromisoformat(version.trade_dt)
    wanted = [
        pc.field(name).isin(pa.array(values, pa.string()))
        for name, values in (("symbol", only.symbols), ("exchange", only.exchanges))
        if values
    ]
    file = lake.storage.open(path)
    if file is None:
        raise MissingFilesError(table, day, [lake.storage.uri(path)])
    try:
        # Groups of rows without a wanted symbol are not read.
        found = ds.ParquetFileFormat().make_fragment(pa.PythonFile(file, mode="r"))
        in_file = [name for name in schema.names if name in found.physical_schema.names]
        condition = reduce(and_, wanted) if wanted else None
        for batch in found.to_batches(columns=in_file, filter=condition, batch_size=_BATCH_ROWS, use_threads=False):
            columns = [
                batch.column(field.name) if field.name in in_file else pa.repeat(in_path[field.name], batch.num_rows)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(
                [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
            )
    except (pa.ArrowException, OSError) as error:
        raise LakeError(f"{lake.storage.uri(path)} cannot be read: {error}") from error


def _texts(given: str | Sequence[str]) -> Sequence[str]:
    return (given,) if isinstance(given, str) else tuple(given)
