"""The digest of rows, as Spark makes it when they are written (``audit``), from Arrow: it needs no JVM.

A row is hashed by xxHash64, value by value: the hash of one value is the seed of the next. All rows of a batch are
hashed at once.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import DataType, DateType, DecimalType, LongType, StringType, StructType, TimestampNTZType

from spark_code.audit import digest_of

_Hashes = NDArray[np.uint64]
_Bytes = NDArray[np.uint8]

_SEED = 42
# The constants of the algorithm.
_P1, _P2, _P3, _P4, _P5 = map(
    np.uint64,
    (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
)
_HALF = np.uint64(2**32 - 1)
# Texts are looked at in lots of so many bytes.
_LOT_BYTES = 4 * 1024 * 1024
# Decimals with more digits do not fit into 64 bits, and Spark hashes their bytes.
_DIGITS_OF_LONG = 18


class RowDigest:
    """The digest of rows that come batch by batch."""

    def __init__(self, schema: StructType) -> None:
        self._schema = schema
        self.rows = 0
        self._low = self._high = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows, with the columns of the schema in its order."""
        hashes = row_hashes(batch, self._schema)
        self.rows += batch.num_rows
        self._low += int((hashes & _HALF).sum())
        self._high += int((hashes >> np.uint64(32)).sum())

    @property
    def digest(self) -> str | None:
        """That of all rows so far."""
        return digest_of(self._schema, self.rows, [self._low, self._high] if self.rows else [None, None])


def row_hashes(batch: pa.RecordBatch, schema: StructType) -> _Hashes:
    """64 bits of every row: of each value, and of whether it is null, because the hash skips nulls."""
    found: _Hashes = np.full(batch.num_rows, _SEED, dtype=np.uint64)
    for column, field in zip(batch.columns, schema, strict=True):
        is_null = column.is_null().to_numpy(zero_copy_only=False)
        found = np.where(is_null, found, _hashed(column, field.dataType, found))
        found = _hash(_as_bytes(is_null.astype("<i4")), found)
    return found


def _hashed(column: pa.Array, kind: DataType, seeds: _Hashes) -> _Hashes:
    if isinstance(kind, StringType):
        return _hash_texts(column.cast(pa.binary()), seeds)
    if isinstance(kind, DecimalType):
        return _hash_decimals(column.cast(pa.decimal128(kind.precision, kind.scale)), kind.precision, seeds)
    numbers: dict[type[DataType], tuple[Sequence[pa.DataType], str]] = {
        DateType: ([pa.date32(), pa.int32()], "<i4"),
        LongType: ([pa.int64()], "<i8"),
        TimestampNTZType: ([pa.timestamp("us"), pa.int64()], "<i8"),
    }
    casts, width = numbers[type(kind)]
    for cast in casts:
        column = column.cast(cast)
    return _hash(_as_bytes(column.fill_null(0).to_numpy(zero_copy_only=False).astype(width)), seeds)


def _hash_decimals(column: pa.Array, precision: int, seeds: _Hashes) -> _Hashes:
    # 16 bytes each, the lowest first.
    stored = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, 16)[column.offset :][: len(column)]
    if precision <= _DIGITS_OF_LONG:
        return _hash(stored[:, :8], seeds)
    return _hash_texts(pa.array(map(_shortest, stored), pa.binary()), seeds)


def _shortest(stored: _Bytes) -> bytes:
    """The bytes of a number in Java: as few as its sign fits into as well, the highest first."""
    number = int.from_bytes(stored.tobytes(), "little", signed=True)
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)


def _hash_texts(texts: pa.Array, seeds: _Hashes) -> _Hashes:
    """All texts of one length are hashed at once."""
    _, starts, content = texts.buffers()
    offsets = np.frombuffer(starts, np.int32)[texts.offset :][: len(texts) + 1].astype(np.int64)
    letters = np.frombuffer(content or b"", np.uint8)
    lengths, found = np.diff(offsets), seeds.copy()
    for length in np.unique(lengths):
        (rows,) = np.nonzero(lengths == length)
        for lot in _lots(rows, max(1, _LOT_BYTES // max(1, int(length)))):
            found[lot] = _hash(letters[offsets[lot][:, None] + np.arange(length)], seeds[lot])
    return found


def _lots(rows: NDArray[Any], size: int) -> Iterable[NDArray[Any]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _as_bytes(numbers: NDArray[Any]) -> _Bytes:
    return numbers.view(np.uint8).reshape(len(numbers), numbers.itemsize)


def _hash(rows: _Bytes, seeds: _Hashes) -> _Hashes:
    """The hash of the bytes of every row, all of which have the same number."""
    length, at = rows.shape[1], 0
    number = _reader_of(rows)
    if length >= 32:
        lanes = [seeds + _P1 + _P2, seeds + _P2, seeds, seeds - _P1]
        while at + 32 <= length:
            lanes = [_round(lane + number(at + 8 * place, 8) * _P2) for place, lane in enumerate(lanes)]
            at += 32
        turned = [_turned(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)]
        found = turned[0] + turned[1] + turned[2] + turned[3]
        for lane in lanes:
            found = (found ^ _round(lane * _P2)) * _P1 + _P4
    else:
        found = seeds + _P5
    found = found + np.uint64(length)
    while at + 8 <= length:
        found = _turned(found ^ _round(number(at, 8) * _P2), 27) * _P1 + _P4
        at += 8
    if at + 4 <= length:
        found = _turned(found ^ (number(at, 4) * _P1), 23) * _P2 + _P3
        at += 4
    for place in range(at, length):
        found = _turned(found ^ (number(place, 1) * _P5), 11) * _P1
    found = (found ^ (found >> np.uint64(33))) * _P2
    found = (found ^ (found >> np.uint64(29))) * _P3
    return found ^ (found >> np.uint64(32))


def _reader_of(rows: _Bytes) -> Callable[[int, int], _Hashes]:
    def number(at: int, width: int) -> _Hashes:
        """The whole numbers of so many bytes at a place of every row, the lowest byte first."""
        part = np.ascontiguousarray(rows[:, at : at + width])
        return part.view(f"<u{width}").reshape(len(rows)).astype(np.uint64)

    return number


def _round(lane: _Hashes) -> _Hashes:
    return _turned(lane, 31) * _P1


def _turned(numbers: _Hashes, bits: int) -> _Hashes:
    return (numbers << np.uint64(bits)) | (numbers >> np.uint64(64 - bits))
