"""The S3 client of Spark on this machine: jars that PySpark's wheel lacks, pinned in ``deploy/s3-jars.lock``.

They are fetched once into ``.jars`` of the checkout, by the Apache Ivy among PySpark's own jars, whose settings name
the public repository. ``spark_code.session`` has Spark's settings for them.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyspark

from capstone_dagster.settings import CHECKOUT, Settings
from spark_code.errors import ExpectedError
from spark_code.wording import counted

_LOCK_FILE = CHECKOUT / "deploy" / "s3-jars.lock"
_FOLDER = CHECKOUT / ".jars"


class S3JarsError(ExpectedError):
    """Jars are missing, or cannot be fetched."""


@dataclass(frozen=True)
class _Jar:
    """One line of the lock file."""

    organisation: str
    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.jar"

    @property
    def path(self) -> Path:
        return _FOLDER / self.file_name

    @property
    def as_dependency(self) -> str:
        # Without an explicit artifact, Ivy also fetches the sources and texts that some modules publish.
        return (
            f"<dependency org={quoteattr(self.organisation)} name={quoteattr(self.name)} rev={quoteattr(self.version)} "
            f'transitive="false"><artifact name={quoteattr(self.name)} type="jar"/></dependency>'
        )

    def is_right(self, file: Path) -> bool:
        """Whether a file is this jar, byte for byte."""
        return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == self.sha256


def jars() -> list[Path]:
    """The jars; if any is missing or changed, an error that says how to get them."""
    pinned = _pinned()
    if wrong := _wrong(pinned):
        raise S3JarsError(
            f"Spark on this machine reads and writes s3:// only with its S3 client, and {_listed(wrong)} "
            f"{'is' if len(wrong) == 1 else 'are'} not in {_FOLDER}; fetch what is missing with: capstone s3-jars"
        )
    return [jar.path for jar in pinned]


def require_for(settings: Settings) -> None:
    """Refuse to work on ``s3://`` locations with Spark on this machine while jars are missing."""
    if settings.spark_needs_s3:
        jars()


def fetch(tell: Callable[[str], None], ivy_settings: Path | None = None) -> None:
    """Fetch the jars that are missing or changed; the others stay untouched.

    ``ivy_settings`` is a settings file of Ivy, for people who use their own repository instead of the public one.
    """
    try:
        if not _wrong(_pinned()):
            tell(f"all {len(_pinned())} jars of the S3 client are in {_FOLDER}; nothing to fetch")
            return
        with _alone_in_scratch_folder() as scratch:
            # Checked again: another process may have fetched them meanwhile.
            if wanted := _wrong(_pinned()):
                tell(f"fetching {counted(len(wanted), 'jar')} of the S3 client into {_FOLDER}")
                _fetch_into_place(wanted, scratch, ivy_settings)
    except OSError as error:
        raise S3JarsError(f"the jars cannot be put into {_FOLDER}: {error}") from error


def _fetch_into_place(wanted: Sequence[_Jar], scratch: Path, ivy_settings: Path | None) -> None:
    """Fetch all of the jars or none: check each before the first is moved."""
    # Fetch one jar first: if the repository does not answer, do not wait for the timeouts of all.
    for some in filter(None, (wanted[:1], wanted[1:])):
        _retrieve(some, scratch, ivy_settings)
    for jar in wanted:
        if not jar.is_right(scratch / jar.file_name):
            raise S3JarsError(
                f"{jar.file_name} as it was fetched is not the jar that {_LOCK_FILE} pins: its sha256 differs. "
                "No jar was installed; ask the owners of the repository why, or fetch from another"
            )
    for jar in wanted:
        (scratch / jar.file_name).replace(jar.path)
    for unpinned in {*_FOLDER.glob("*.jar")} - {jar.path for jar in _pinned()}:
        unpinned.unlink()


@contextmanager
def _alone_in_scratch_folder() -> Iterator[Path]:
    """A folder beside the jars, so that moving a jar into place is atomic; one process at a time uses it."""
    _FOLDER.mkdir(exist_ok=True)
    scratch = _FOLDER / ".fetching"
    with (_FOLDER / ".lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch)


def _pinned() -> list[_Jar]:
    lines = _LOCK_FILE.read_text().splitlines()
    return [_Jar(*line.split()) for line in lines if line and not line.startswith("#")]


def _wrong(pinned: Iterable[_Jar]) -> list[_Jar]:
    """The jars that are missing or differ from the pinned ones."""
    return [jar for jar in pinned if not jar.is_right(jar.path)]


def _retrieve(wanted: Sequence[_Jar], into: Path, ivy_settings: Path | None) -> None:
    """Let Ivy put the jars into a folder; its cache is in that folder, too."""
    module = (
        '<ivy-module version="2.0"><info organisation="capstone" module="s3-jars"/><dependencies>',
        *(jar.as_dependency for jar in wanted),
        "</dependencies></ivy-module>",
    )
    (into / "ivy.xml").write_text("\n".join(module))
    command = [
        *_ivy(),
        *(("-settings", str(ivy_settings.resolve())) if ivy_settings else ()),
        *("-warn", "-cache", "cache", "-ivy", "ivy.xml", "-retrieve", "[artifact]-[revision].[ext]"),
    ]
    # With the folder as working directory, because Ivy takes square brackets in a path for a pattern.
    ivy = subprocess.run(command, cwd=into, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    missing = [jar for jar in wanted if not (into / jar.file_name).is_file()]
    if ivy.returncode or missing:
        raise S3JarsError(
            f"the repository did not provide {_listed(missing or wanted)}: {_reason(ivy.stdout + ivy.stderr)}; try "
            "again where it can be reached, or name another with: capstone s3-jars --ivy-settings FILE"
        )


def _ivy() -> list[str]:
    """The command of Ivy, with timeouts."""
    home = os.environ.get("JAVA_HOME")
    (jar,) = Path(pyspark.__file__).with_name("jars").glob("ivy-*.jar")
    waits = ("-Dsun.net.client.defaultConnectTimeout=10000", "-Dsun.net.client.defaultReadTimeout=60000")
    return [f"{home}/bin/java" if home else "java", *waits, "-cp", str(jar), "org.apache.ivy.Main"]


def _reason(output: str) -> str:
    """Why Ivy gave up; not its whole lines, which contain URLs, perhaps with a password."""
    reason = r"(\w+(?:Exception|Error): [^)\n]*)|(?:CLIENT|SERVER) ERROR: (.*?) url=|(Host \S+ not found)"
    found = re.search(reason, output)
    return next(filter(None, found.groups())) if found else "it does not have that version"


def _listed(some: Sequence[_Jar]) -> str:
    first, others = some[0].file_name, some[1:]
    return f"{first} and {counted(len(others), 'jar')} more" if others else first
