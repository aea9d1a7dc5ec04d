"""Restores the previous version of a day, as a new attempt: no attempt that began earlier can replace it.

Only what the day's pointer names changes. What was computed from the version that is withdrawn is named, and left.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from spark_code.flow import STEPS, maker_of
from spark_code.lake import Lake, LakeError
from spark_code.lake_places import kept_manifest, version_folder
from spark_code.locations import shown
from spark_code.manifest import Attempt, Manifest
from spark_code.schemas import EVENTS, TABLES, Table


class RollbackError(LakeError):
    """There is no previous version that can be restored."""


@dataclass(frozen=True)
class Versions:
    """The version of a day that counts, and the one before it, which is whole."""

    table: Table
    day: date
    current: Manifest
    before: Manifest

    @classmethod
    def find(cls, lake: Lake, table: Table, day: date) -> "Versions":
        """Look them up; an error if there is no previous version, or if it is no longer as it was published."""
        from spark_code.verification import why_of_another  # noqa: PLC0415 - loads PyArrow; sensors import this module
        from spark_code.version_proof import VersionProof  # noqa: PLC0415 - the same

        current, what = lake.require(table, day), f"{table.path} of {day}"
        if not current.earlier:
            raise RollbackError(f"{what} was published once: there is no previous version to restore")
        version = current.earlier[0]
        content = lake.storage.read(kept_manifest(table, version))
        try:
            before = Manifest.of_pointer(content)
        except (ValueError, TypeError):
            before = None
        if before is None or before.version != version or why_of_another(before, table, day):
            are_gone = not lake.storage.objects(version_folder(table, version))
            why = (
                "its files are gone"
                if are_gone
                else "it does not say what it holds, as versions of older releases do not"
            )
            raise RollbackError(f"{what}: the previous version, {version}, cannot be restored: {why}")
        if problems := VersionProof(lake.storage, table, day, before).problems:
            raise RollbackError(f"{what}: the previous version, {version}, cannot be restored: {problems[0]}")
        return cls(table, day, current, before)

    def roll_back(self, lake: Lake, attempt: Attempt, *, by: str, reason: str) -> Manifest:
        """Restore the previous version; who did so and why is in its manifest from now on."""
        again = replace(
            self.before,
            run_id=attempt.run_id,
            attempt=attempt.number,
            token=attempt.token,
            published_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            rolled_back={
                "by": by,
                "reason": reason,
                "withdrawn": self.current.version,
                "files": self._files(lake),
            },
        )
        # Written anew, so that its age says since when it counts: until then somebody may have begun to read the other.
        lake.storage.write(kept_manifest(self.table, self.before.version), self.before.to_json())
        return lake.republish(self.table, self.day, again, instead_of=self.current.version)

    def _files(self, lake: Lake) -> Mapping[str, str]:
        """The files of the exchanges that were known: the day is left as it is until there are others."""
        events = self.current if self.table == EVENTS else lake.manifest(EVENTS, self.day)
        if events and events.rolled_back:
            known: Mapping[str, str] = events.rolled_back["files"]
            return known
        return events.inputs if events else {}

    def computed_from(self, lake: Lake, following: date | None) -> list[tuple[Table, date]]:
        """The tables of this day and the following one that were computed from the withdrawn rows, in order."""
        stale: dict[tuple[Table, date], str] = {(self.table, self.day): self.current.version}
        for of in filter(None, (self.day, following)):
            previous = self.day if of == following else None
            for step in STEPS:
                read = [(each.table, day) for each in step.reads if not each.gates and (day := each.day(of, previous))]
                for table in step.makes:
                    made = lake.manifest(table, of) if (table, of) not in stale else None
                    if made and any(made.inputs.get(key[0].path) == stale.get(key, "") for key in read):
                        stale[table, of] = made.version
        return [found for found in stale if found != (self.table, self.day)]


def rolled_back_in(lake: Lake, day: date) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    """The tables of a day of which a version before counts again, and who did so and why.

    An unreadable pointer is reported by whoever needs what it says.
    """
    for table in TABLES.values():
        with suppress(LakeError):
            manifest = lake.manifest(table, day)
            if manifest and manifest.rolled_back:
                yield table, manifest.rolled_back


def does_not_fit(lake: Lake, published: Manifest, table: Table, day: date) -> list[str]:
    """Tables of the day that were made from each other's other versions, which the steps after them refuse together."""
    sentences, step = [], maker_of(table)
    for read in step.reads:
        source = None if read.of_previous_day or read.gates else lake.manifest(read.table, day)
        if source and not published.was_made_from(read.table.path, source):
            sentences.append(f"it was made from other rows of {read.table.path} than count now")
    for sibling in step.makes:
        other = lake.manifest(sibling, day)
        if other and other.inputs != published.inputs:
            sentences.append(f"{sibling.path} was made from other versions than it")
    return [shown(sentence) for sentence in sentences]
