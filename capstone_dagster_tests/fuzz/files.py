"""Files of a day: of mutated lines, packed or not, and of arbitrary bytes that may be broken."""

import bz2
import gzip
import zlib
from collections.abc import Callable, Mapping
from random import Random

from capstone_dagster_tests.builders.deliveries import BOM, FOLDERS
from capstone_dagster_tests.fuzz.mutated_lines import content

Files = dict[tuple[str, str], bytes]
"""What is delivered, by exchange and name."""

_PACK: Mapping[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}
_ODD_FILES = 12


def mutated(random: Random, lines: int) -> Files:
    """So many lines of each exchange; one file is packed in parts, and some have a very large line."""
    files = {}
    for exchange in FOLDERS:
        for name, share in {"part 0": 0.6, "part-1.gz": 0.3, "part-2": 0.05, "part-3.bz2": 0.05}.items():
            made = content(random, exchange, max(1, int(lines * share)))
            if name in ("part-2", "part-3.bz2"):
                at = made.find(b"\n") + 1
                long = random.choice([b"\0", b"\xc3\xa4", b"{"]) * random.randint(2**19, 2**21)
                made = made[:at] + long + b"\n" + made[at:]
            pack, half = _PACK[_ending(name)], len(made) // 2
            files[exchange, name] = pack(made[:half]) + pack(made[half:])
    return files


def arbitrary(random: Random) -> Files:
    """Some small files of each exchange that may be anything, under names that say how they are packed."""
    files = {}
    for exchange in FOLDERS:
        for number in range(_ODD_FILES):
            ending = random.choice(["", ".gz", ".bz2", ".GZ"])
            inside = random.choice(_CONTENTS)(random, exchange)
            packed = _PACK[random.choice([ending.lower()] * 8 + ["", ".gz", ".bz2"])](inside)
            files[exchange, f"odd-{number}{ending}"] = random.choice(_DAMAGES)(random, packed)
    return files


def unpacked(name: str, delivered: bytes) -> bytes | None:
    """What a file holds; None if it cannot be read to its end."""
    try:
        match _ending(name):
            case ".gz":
                return gzip.decompress(delivered)
            case ".bz2":
                return _of_bz2(delivered)
    except (OSError, EOFError, zlib.error):
        return None
    return delivered


def _ending(name: str) -> str:
    return next((ending for ending in _PACK if ending and name.lower().endswith(ending)), "")


def _of_bz2(rest: bytes) -> bytes:
    """Stream by stream; what follows the last one is an error."""
    made = b""
    while rest:
        stream = bz2.BZ2Decompressor()
        made += stream.decompress(rest)
        if not stream.eof:
            raise EOFError
        rest = stream.unused_data
    return made


_CONTENTS: list[Callable[[Random, str], bytes]] = [
    lambda random, exchange: content(random, exchange, random.randint(1, 5)),
    lambda random, exchange: BOM * random.randint(1, 4) + content(random, exchange, 2),
    lambda random, exchange: b"\n".join(BOM * random.randint(0, 3) + content(random, exchange, 1) for _ in range(4)),
    lambda random, exchange: content(random, exchange, 3).replace(b"\n", random.choice([b"\r", b"\r\r\n", b"\n\r"])),
    lambda random, exchange: content(random, exchange, 2).decode(errors="replace").encode("utf-16"),
    lambda random, exchange: gzip.compress(content(random, exchange, 2)),
    lambda random, _: random.randbytes(random.randint(0, 2_000)),
    lambda random, _: b"".join(random.choices([b"\n", b"\r", b"\0", b" ", b",", b"{", BOM, b"\xff"], k=30)),
    lambda random, _: random.choice([b"", BOM, BOM * 2, BOM + b"\n", b"\n", b"\r", b"\r\n", b"\n\n", BOM[:2], b"\0"]),
]


def _cut(random: Random, packed: bytes) -> bytes:
    return packed[: random.randint(0, len(packed))]


def _flipped(random: Random, packed: bytes) -> bytes:
    at = random.randrange(len(packed)) if packed else 0
    return packed[:at] + random.randbytes(1) + packed[at + 1 :]


def _prolonged(random: Random, packed: bytes) -> bytes:
    return packed + random.choice([bytes(random.randint(1, 20)), random.randbytes(5), packed, BOM])


_DAMAGES: list[Callable[[Random, bytes], bytes]] = [
    *[lambda _, packed: packed] * 3,
    _cut,
    _flipped,
    _prolonged,
]
