"""The lines of delivered files as Arrow arrays of bytes, and an independent count of them.

A file is read in blocks, so a line may be larger than the memory: what is longer than a line that is kept is cut.
``line_judge`` judges the lines.
"""

import bz2
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

from spark_code.locations import StorageError, shown
from spark_code.raw_files import Delivery
from spark_code.storage import Storage, StoredObject

if TYPE_CHECKING:
    import pyarrow as pa

# How much of a rejected line is kept: more than any event has, and parquet holds a hundred of them in memory.
MAX_KEPT_BYTES = 128 * 1024
_BLOCK = 8 * 1024 * 1024
# Opening a file takes as long as reading so many bytes.
_OPEN_BYTES = 1024 * 1024
_BOM = "\ufeff".encode()


@dataclass(frozen=True)
class Part:
    """A part of a file: the lines that begin in it."""

    key: str
    start: int
    end: int | None
    """None for a packed file, which can be read only as a whole."""


def parts(delivery: Delivery, part_bytes: int) -> list[list[Part]]:
    """All files of a delivery, in lots of about so many bytes: large files in parts, and small ones together."""
    lots: list[list[Part]] = []
    room = 0
    for stored in delivery.files:
        packed = _unpacking(stored.key) is not None
        step = max(stored.size, 1) if packed else part_bytes
        for start in range(0, stored.size, step):
            size = min(step, stored.size - start)
            if size > room:
                lots.append([])
                room = part_bytes
            lots[-1].append(Part(stored.key, start, None if packed else start + size))
            room -= max(size, min(_OPEN_BYTES, part_bytes))
    return lots


def lines_of(storage: Storage, part: Part) -> Iterator["pa.BinaryArray"]:
    """The lines of a part as they were delivered, without the LF and without a BOM at the start of the file."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who read lines; commands import ``flow``
    import pyarrow.compute as pc  # noqa: PLC0415 - the same

    def split(lines: bytes) -> "pa.BinaryArray":
        return pc.split_pattern(pa.array([lines], pa.binary()), pattern=b"\n").values

    rest = b""
    for block in _content(storage, part):
        end = block.rfind(b"\n")
        if end < 0:
            rest = (rest + block)[: MAX_KEPT_BYTES + 1]
            continue
        yield split(rest + block[:end])
        rest = block[end + 1 :][: MAX_KEPT_BYTES + 1]
    if rest:
        yield split(rest)


def as_text(lines: "pa.BinaryArray") -> "pa.Table":
    """Lines as texts, of which too long ones are cut, and whether they are UTF-8; other bytes become U+FFFD."""
    import pyarrow as pa  # noqa: PLC0415 - the same
    import pyarrow.compute as pc  # noqa: PLC0415 - the same

    kept = pc.binary_slice(lines, 0, MAX_KEPT_BYTES)
    try:
        texts = kept.cast(pa.string())
    except pa.ArrowInvalid:
        texts = pa.array([line.decode(errors="replace") for line in kept.to_pylist()], pa.string())
    are_encoded = pc.equal(texts.cast(pa.binary()), kept)
    return pa.table({"text": texts, "bytes": pc.binary_length(lines), "is_encoded": are_encoded})


def count_lines(deliveries: Sequence[Delivery]) -> tuple[int, int]:
    """How many lines the files have, and how many bytes once they are unpacked, counted without splitting them."""
    stopped = Event()
    files = [(delivery.storage, stored) for delivery in deliveries for stored in delivery.files]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            counts = list(threads.map(lambda file: _count(file[0], file[1], stopped), files))
        finally:
            stopped.set()  # if interrupted, do not read the rest
    return sum(lines for lines, _ in counts), sum(size for _, size in counts)


def _count(storage: Storage, stored: StoredObject, stopped: Event) -> tuple[int, int]:
    """The last line may have no LF, and a BOM alone is no line."""
    lines = size = 0
    last = b"\n"
    with _opened(storage, stored.key) as file:
        for block in takewhile(lambda _: not stopped.is_set(), iter(lambda: file.read(_BLOCK), b"")):
            lines += block.count(b"\n")
            last = block[-1:] if size or block != _BOM else last
            size += len(block)
    return lines + (last != b"\n"), size


def _content(storage: Storage, part: Part) -> Iterator[bytes]:
    """The bytes from the first line that begins in the part to the end of the last one, in blocks."""
    with _opened(storage, part.key) as file:
        if part.start == 0:
            position = 0
            has_begun = True
        else:
            # A line begins at the start of the part if the byte before is an LF.
            position = file.seek(part.start - 1)
            has_begun = False
        while block := file.read(_BLOCK):
            last = -1
            if part.end is not None and position + len(block) >= part.end:
                first_of_next = max(0, part.end - 1 - position)
                if not has_begun and block.find(b"\n", 0, first_of_next) < 0:
                    return  # a part in the middle of a line, in which none begins
                last = block.find(b"\n", first_of_next)
            kept = block[: last + 1] if last >= 0 else block
            if not has_begun:
                first = kept.find(b"\n")
                has_begun = first >= 0
                kept = kept[first + 1 :] if has_begun else b""
            elif position == 0:
                kept = kept.removeprefix(_BOM)
            if kept:
                yield kept
            if last >= 0:
                return
            position += len(block)


@contextmanager
def _opened(storage: Storage, key: str) -> Iterator[BinaryIO]:
    """An unpacked file. What it lacks to be read to its end is an error that names it."""
    try:
        opened = storage.open(key, _BLOCK)
        if opened is None:
            raise FileNotFoundError("it is gone")
        unpack = _unpacking(key)
        with io.BufferedReader(opened, _BLOCK) as content:
            if unpack is None:
                yield content
                return
            # Buffered once more, because a file of many compressed parts is read a part at a time.
            with io.BufferedReader(unpack(content), _BLOCK) as file:
                yield file
    except (OSError, EOFError, zlib.error) as error:
        uri = storage.uri(key)
        raise StorageError(shown(f"{uri} cannot be read to its end: {error}; deliver it again")) from error


class _Bz2File(io.RawIOBase):
    """The content of a bz2 file. Python's own reader ignores what follows the last stream; here it is an error."""

    def __init__(self, packed: BinaryIO) -> None:
        super().__init__()
        self._packed = packed
        self._stream = bz2.BZ2Decompressor()
        self._rest = b""

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of typeshed's wider type
        """Fill a part of a buffer, or nothing at the end of the file."""
        while True:
            if self._stream.eof:
                self._rest = self._stream.unused_data or self._packed.read(_BLOCK)
                if not self._rest:
                    return 0
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input and not self._rest:
                self._rest = self._packed.read(_BLOCK)
                if not self._rest:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            content = self._stream.decompress(self._rest, len(buffer))
            self._rest = b""
            if content:
                buffer[: len(content)] = content
                return len(content)


_UNPACK: Mapping[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": _Bz2File}


def _unpacking(key: str) -> Callable[[BinaryIO], Any] | None:
    """The function that unpacks a file, chosen by its name."""
    return next((unpack for ending, unpack in _UNPACK.items() if key.lower().endswith(ending)), None)
