"""Proves the files and rows of one version against the manifest that names it, without Spark; it changes nothing.

What a pointer says is judged in ``verification``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql.types import StructType

from spark_code.footers import FooterError, rows_of
from spark_code.lake_places import day_folder, version_folder
from spark_code.locations import shown
from spark_code.manifest import Manifest
from spark_code.raw_files import is_hidden
from spark_code.row_digests import RowDigest, row_hashes
from spark_code.schemas import EVENTS, Table
from spark_code.storage import Storage
from spark_code.wording import counted

_NAMED = 3
# Every line is one of these; the record type is in the path.
_LINES = {"T": ("trade", "trades"), "Q": ("quote", "quotes"), "B": ("rejected line", "rejected")}

_Hashes = NDArray[np.uint64]


class VersionProof:
    """The files and rows of a version; what is wrong with them is in ``problems``, in sentences."""

    def __init__(self, storage: Storage, table: Table, day: date, manifest: Manifest) -> None:
        self._storage, self._table, self._day, self._manifest = storage, table, day, manifest
        self._schema = table.stored(manifest.columns)
        self._key = StructType([table.schema[name] for name in table.key])
        self.problems: list[str] = []
        self._rows_of: dict[str, int] = {}
        """File -> its rows, by its footer."""
        if self._files_are_whole():
            self._compare_numbers()
            self._compare_rows()

    def _files_are_whole(self) -> bool:
        manifest, named = self._manifest, dict.fromkeys(self._manifest.paths)
        version = version_folder(self._table, manifest.version)
        there = {stored.key: stored.size for stored in self._storage.objects(version)}
        gone = [path for path in named if path not in there]
        foreign = [key for key in there if key not in named and not _is_hidden(key.removeprefix(f"{version}/"))]
        self._name("is gone", gone)
        inside = f"{day_folder(self._table, manifest.version, self._day)}/"
        read = [key for key in foreign if key.startswith(inside)]
        self._name("is not of this version, and Spark and Athena read it with the others", read)
        self._name("is not of this version, and outside the folder of its day", [k for k in foreign if k not in read])
        if len(named) < len(manifest.paths):
            self.problems.append("its manifest names a file twice")
        if not gone and (size := sum(there[path] for path in named)) != manifest.bytes:
            self.problems.append(f"its files have {counted(size, 'byte')}, its manifest says {manifest.bytes:,}")
        for path in named:
            if path in there:
                self._read_footer(path)
        return len(self._rows_of) == len(named)

    def _name(self, what: str, keys: Sequence[str]) -> None:
        self.problems += [f"{shown(self._storage.uri(key))} {what}" for key in keys[:_NAMED]]
        if more := keys[_NAMED:]:
            self.problems.append(f"the same is true of {counted(len(more), 'more file')}")

    def _read_footer(self, path: str) -> None:
        try:
            self._rows_of[path] = rows_of(self._storage, path, self._table.in_files(self._schema))
        except FooterError as error:
            self.problems.append(str(error))

    def _compare_numbers(self) -> None:
        self._compare("row", sum(self._rows_of.values()), self._manifest.rows)
        for rec_type, (line, name) in _LINES.items() if self._table == EVENTS else ():
            found = sum(rows for path, rows in self._rows_of.items() if f"/rec_type={rec_type}/" in path)
            self._compare(line, found, self._manifest.measures.get(name))

    def _compare(self, what: str, found: int, said: int | None) -> None:
        if found != said:
            self.problems.append(f"its files hold {counted(found, what)}, its manifest says {shown(f'{said}')}")

    def _compare_rows(self) -> None:
        digest, keys = RowDigest(self._schema), [np.empty(0, np.uint64)]
        try:
            for batch in self._batches():
                digest.add(batch)
                keys.append(self._key_hashes(batch))
            doubled = self._doubled(np.concatenate(keys))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            self.problems.append(f"its rows cannot be read: {shown(str(error))}")
            return
        if self._manifest.digest not in (None, digest.digest):
            self.problems.append("its rows are not those that were published: their digest is another one")
        if doubled:
            self.problems.append(f"its key is not unique, e.g. {shown(doubled)}")

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, with the columns of the version in their order."""
        names = self._schema.fieldNames()
        for path in self._rows_of:
            opened = self._storage.open(path)
            if opened is None:
                raise FileNotFoundError(f"{self._storage.uri(path)} is gone")
            of_folders = self._of_folders(path)
            with opened:
                for batch in pq.ParquetFile(opened).iter_batches():
                    columns = [
                        pa.repeat(of_folders[name], len(batch)) if name in of_folders else batch.column(name)
                        for name in names
                    ]
                    yield pa.RecordBatch.from_arrays(columns, names)

    def _of_folders(self, path: str) -> Mapping[str, Any]:
        folders = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
        return {"trade_dt": self._day, **{name: folders.get(name) for name in self._table.split}}

    def _key_hashes(self, batch: pa.RecordBatch) -> _Hashes:
        if not self._table.key:
            return np.empty(0, np.uint64)
        return row_hashes(batch.select(list(self._table.key)), self._key)

    def _doubled(self, hashes: _Hashes) -> str | None:
        """A key that several rows have, if there is one. Two keys may have one hash, so they are compared."""
        distinct, counts = np.unique(hashes, return_counts=True)
        repeated, rows_with = distinct[counts > 1][:_NAMED], Counter[tuple[Any, ...]]()
        for batch in self._batches() if len(repeated) else ():
            is_repeated = pa.array(np.isin(self._key_hashes(batch), repeated))
            suspects = batch.select(list(self._table.key)).filter(is_repeated)
            rows_with.update(tuple(row.values()) for row in suspects.to_pylist())
        return next((", ".join(map(str, key)) for key, rows in rows_with.items() if rows > 1), None)


def _is_hidden(path: str) -> bool:
    """Whether readers leave the file out, because of its name or that of a folder."""
    return any(map(is_hidden, path.split("/")))
