"""``capstone run``, which is killed with SIGKILL before one of its writes; a run in peace shows which there are.

What is a write: of an object (obstore), of a file and a folder (Python's audit events), of rows (Spark's writer), each
below the lake; and a statement of Postgres that changes something, which is one below ``database``.

    python -m capstone_dagster_tests.servers.dying_capstone LOG BELOW NUMBER ARGUMENTS...

notes every write in a file, a line each, and dies before the one that is the given one below a folder, if there is one.
"""

import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Any

from obstore.store import LocalStore
from pyspark.sql.readwriter import DataFrameWriter
from sqlalchemy import Engine, event

from capstone_dagster.cli import main
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.platform import Platform
from spark_code.lake_places import pointer
from spark_code.schemas import TABLES

DATABASE = "database"
_CHANGES = ("INSERT", "UPDATE", "DELETE")
_OF_FILES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree"}


def writes_of(platform: Platform, day: date, below: str = "", number: int = 0) -> list[str]:
    """Run the day, and die before a write; what was written until then, and what was not to be written any more."""
    log = platform.folder / "writes"
    program = (sys.executable, "-m", "capstone_dagster_tests.servers.dying_capstone", f"{log}", below, f"{number}")
    ran = platform.capstone("run", f"{day}", program=program)
    assert ran.returncode == (-signal.SIGKILL if number else 0), ran.stdout + ran.stderr
    return log.read_text().splitlines()


def published_by(writes: list[str], day: date) -> set[str]:
    """The tables whose pointer had been replaced when the last of these writes was due."""
    done = {write.partition(" ")[2] for write in writes[:-1]}
    return {path for path, table in TABLES.items() if pointer(table, day) in done}


class _Writes:
    def __init__(self, log: str, below: str, number: int) -> None:
        self._lake = Settings.from_environment().lake_uri
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._below, self._left = below, number

    def note(self, kind: str, path: object) -> None:
        if f"{path}".startswith(f"{self._lake}/"):
            self._note(kind, f"{path}".removeprefix(f"{self._lake}/"))

    def _note(self, kind: str, key: str) -> None:
        os.write(self._log, f"{kind} {key}\n".encode())
        if self._left and (key == self._below or key.startswith(f"{self._below}/")):
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)

    def hear_of_files(self, audited: str, arguments: tuple[Any, ...]) -> None:
        if audited == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self.note("open", arguments[0])
        if audited in _OF_FILES:
            self.note(audited, arguments[0])

    def hear_of_statements(self, *arguments: Any) -> None:
        if (changes := arguments[2].split(maxsplit=3)) and changes[0].upper() in _CHANGES:
            self._note("statement", f"{DATABASE}/{' '.join(changes[:3])}")

    def hear_of_objects(self, name: str) -> None:
        change = getattr(LocalStore, name)

        def noted(store: LocalStore, key: str, *arguments: Any, **options: Any) -> Any:
            self.note(name, Path(f"{store.prefix}", key))
            return change(store, key, *arguments, **options)

        setattr(LocalStore, name, noted)

    def hear_of_rows(self) -> None:
        parquet = DataFrameWriter.parquet

        def noted(writer: DataFrameWriter, path: str, *arguments: Any) -> None:
            self.note("rows", path)
            parquet(writer, path, *arguments)

        setattr(DataFrameWriter, parquet.__name__, noted)


if __name__ == "__main__":
    writes = _Writes(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.addaudithook(writes.hear_of_files)
    event.listen(Engine, "before_cursor_execute", writes.hear_of_statements)
    writes.hear_of_objects("put")
    writes.hear_of_objects("delete")
    writes.hear_of_rows()
    sys.argv[1:] = sys.argv[4:]
    main.main()
