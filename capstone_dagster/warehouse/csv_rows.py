"""The rows of a published version as CSV for COPY, written by pyarrow: texts in quotes, nulls empty without quotes."""

import io
from typing import TYPE_CHECKING

from capstone_dagster.readers.rows import batches
from capstone_dagster.warehouse.tables import WarehouseTable
from spark_code.lake import Lake, LakeError
from spark_code.manifest import Manifest

if TYPE_CHECKING:
    import pyarrow as pa

# A key of more bytes fits into no index of Postgres (2,704). Names of the market have a dozen.
_LONGEST_KEY = 2000


class CsvRows(io.RawIOBase):
    """A file to read once. It leaves out, and counts, rows that Postgres cannot hold.

    Such rows come from lines of exchanges: a text with NUL, which JSON can write as an escape, or an endless symbol. A
    day must not fail by one line.
    """

    def __init__(self, lake: Lake, table: WarehouseTable, version: Manifest) -> None:
        super().__init__()
        self._table, self._version = table, version
        self._batches = batches(lake, table.source, [version])
        self._text = io.BytesIO()
        self._read = 0
        self.left_out = 0
        self.failure: Exception | None = None
        """Why it could not be read to its end; COPY has only the text of it."""

    def read(self, size: int = -1, /) -> bytes:
        """As much of the text as is asked for, or less at the end of some rows; nothing at its end."""
        try:
            while not (text := self._text.read(size)):
                batch = next(self._batches, None)
                if batch is None:
                    self._require_all()
                    return b""
                self._read += batch.num_rows
                self._text = io.BytesIO(self._as_csv(batch))
        except Exception as error:
            self.failure = error
            raise
        return text

    def _as_csv(self, batch: "pa.RecordBatch") -> bytes:
        import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who load
        import pyarrow.compute as pc  # noqa: PLC0415 - the same
        import pyarrow.csv as pa_csv  # noqa: PLC0415 - the same

        for name, value in self._table.only.items():
            batch = batch.filter(pc.equal(batch[name], value))
        texts = [field.name for field in batch.schema if pa.types.is_string(field.type)]
        key_bytes = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
        for name in texts:
            if name in self._table.key:
                key_bytes = pc.add(key_bytes, pc.coalesce(pc.binary_length(batch[name]), 0))
        fits = pc.less_equal(key_bytes, _LONGEST_KEY)
        for name in texts:
            has_nul = pc.coalesce(pc.match_substring(batch[name], "\0"), False)
            fits = pc.and_(fits, pc.invert(has_nul))
        held = batch.filter(fits)
        self.left_out += batch.num_rows - held.num_rows
        written = io.BytesIO()
        pa_csv.write_csv(held, written, pa_csv.WriteOptions(include_header=False))
        return written.getvalue()

    def _require_all(self) -> None:
        if self._read != self._version.rows:
            raise LakeError(
                f"{self._table.source.path} of {self._version.trade_dt}: the files hold {self._read} rows, and its "
                f"manifest names {self._version.rows}; nothing of it is loaded"
            )
