"""Proves a published day of a table: what lies in the lake is what was published. It repairs and changes nothing.

The pointer and the inputs are judged here, files and rows in ``version_proof``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from spark_code.flow import maker_of
from spark_code.lake import Lake, LakeError
from spark_code.lake_places import day_folder, pointer
from spark_code.locations import StorageError, shown
from spark_code.manifest import Manifest, given_up_in
from spark_code.schemas import TABLES, Table
from spark_code.version_proof import VersionProof

# What is proven of a manifest, and the types of it.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "trade_dt": str,
    "version": str,
    "paths": list,
    "rows": int,
    "bytes": int,
    "inputs": dict,
    "measures": dict,
    "digest": (str, type(None)),
    "input_digests": dict,
    "columns": list,
    "earlier_versions": list,
    "rolled_back": (dict, type(None)),
}


@dataclass
class Proof:
    """What was found about one day of one table."""

    table: Table
    day: date
    is_published: bool = True
    manifest: Manifest | None = None
    """None if nothing is published, or if what the pointer says is of no use."""
    problems: list[str] = field(default_factory=list)
    """What is damaged, in sentences."""
    warnings: list[str] = field(default_factory=list)
    """What people should know, and is no damage."""

    @property
    def is_proven(self) -> bool:
        """Whether everything is as it was published."""
        return self.is_published and not self.problems

    @property
    def remedy(self) -> str | None:
        """What to do if it is not proven."""
        run = f"capstone run {self.day} --job {maker_of(self.table).job}"
        if self.is_proven:
            return None
        if not self.is_published:
            return f"make it with: {run}"
        return f"{'' if self.manifest else 'delete that file, and '}publish it again: {run}"


def prove(lake: Lake, table: Table, day: date, previous: date | None) -> Proof:
    """Prove what is published; ``previous`` is the trading day before, whose closes the report reads."""
    proof = Proof(table, day)
    content = lake.storage.read(pointer(table, day))
    if content is None:
        proof.is_published = False
        return proof
    try:
        manifest = Manifest.of_pointer(content)
        if manifest is None and given_up_in(content):  # nothing was published, and attempts must not publish any more
            proof.is_published = False
            return proof
        wrong = why_of_another(manifest, table, day) if manifest else "names no version"
    except (ValueError, TypeError) as error:
        manifest, wrong = None, f"is no manifest: {error}"
    if wrong:
        proof.problems.append(
            shown(f"{lake.storage.uri(pointer(table, day))} {wrong if content.strip() else 'is empty'}")
        )
    elif manifest:
        proof.manifest = manifest
        try:
            proof.problems += VersionProof(lake.storage, table, day, manifest).problems
        except StorageError as error:
            proof.problems.append(f"its files cannot be read: {shown(str(error))}")
        proof.warnings += _warnings(lake, manifest, proof, previous)
    return proof


def why_of_another(manifest: Manifest, table: Table, day: date) -> str | None:
    """Why what a pointer says cannot be about this table and day, if so."""
    for name, kind in _TYPES.items():
        value = getattr(manifest, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"is no manifest: {name} cannot be {value!r:.40}"
    if not all(isinstance(name, str) for name in (*manifest.paths, *manifest.columns)):
        return "is no manifest: paths and columns must be texts"
    if manifest.trade_dt != f"{day}":
        return f"is the manifest of another day, {manifest.trade_dt:.40}"
    if "/" in manifest.version or not manifest.version.isprintable() or manifest.version in ("", ".", ".."):
        return f"names {manifest.version!r:.40} as its version, which can be no folder"
    folder = f"{day_folder(table, manifest.version, day)}/"
    outside = [path for path in manifest.paths if not path.startswith(folder)]
    return f"names a file that is not of this table, day and version: {outside[0]:.200}" if outside else None


def _warnings(lake: Lake, manifest: Manifest, proof: Proof, previous: date | None) -> Iterator[str]:
    if manifest.digest is None:
        yield "an older release published it without a digest, so the values of its rows cannot be proven"
    for read in maker_of(proof.table).reads:
        path, of = read.table.path, read.day(proof.day, previous)
        if path not in manifest.inputs or of is None:
            continue
        try:
            source = lake.manifest(TABLES[path], of)
        except LakeError as error:
            yield shown(f"it was computed from {path} of {of}: {error}")
            continue
        if source is None:
            yield f"it was computed from {path} of {of}, which is no longer published"
        elif not manifest.was_made_from(path, source):
            yield f"it was computed from an older version of {path} of {of}"
