"""``capstone s3-jars``: which jars are pinned, how they are fetched, and what a run without them is told.

The repository of these tests is a folder; Ivy is the real one.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyspark
import pytest

from capstone_dagster.settings import CHECKOUT
from capstone_dagster.steps import s3_jars
from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.servers.platform import Platform, failure
from capstone_dagster_tests.servers.s3_server import ODD_NAME

JARS = {"first-1.0.jar": b"the first", "second-2.0.jar": b"the second"}
NOT_THERE = (
    "Spark on this machine reads and writes s3:// only with its S3 client, and {} not in {}; "
    "fetch what is missing with: capstone s3-jars"
)


@dataclass(frozen=True)
class Shelf:
    """Two pinned jars: a repository that has them, and the folder they belong into."""

    folder: Path
    repository: Path
    ivy_settings: Path
    user_home: Path

    def files(self) -> dict[str, bytes]:
        """What lies in the folder, without the file that locks it."""
        found = (path for path in self.folder.rglob("*") if path.name != ".lock")
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}

    def leads_to(self, address: str) -> None:
        """Make the settings name a repository."""
        self.ivy_settings.write_text(
            '<ivysettings><settings defaultResolver="own"/><resolvers>'
            f'<ibiblio name="own" m2compatible="true" root="{address}"/></resolvers></ivysettings>'
        )

    def published(self, jar: str) -> Path:
        """Where the repository has a jar."""
        name, version = jar.removesuffix(".jar").split("-")
        return self.repository / "org" / "example" / name / version / jar


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Below an odd path, and with a home of Java's own to show what is left there."""
    place, user_home = tmp_path / ODD_NAME, tmp_path / "user"
    shelf = Shelf(place / ".jars", place / "repository", place / "ivysettings.xml", user_home)
    pins = [
        f"org.example {name.removesuffix('.jar').replace('-', ' ')} {hashlib.sha256(content).hexdigest()}\n"
        for name, content in JARS.items()
    ]
    for name, content in JARS.items():
        shelf.published(name).parent.mkdir(parents=True)
        shelf.published(name).write_bytes(content)
    shelf.leads_to(f"{shelf.repository.as_uri()}/")
    lock_file = place / "s3-jars.lock"
    lock_file.write_text(f"# two jars\n{''.join(pins)}")
    user_home.mkdir()
    monkeypatch.setattr(s3_jars, "_LOCK_FILE", lock_file)
    monkeypatch.setattr(s3_jars, "_FOLDER", shelf.folder)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={user_home}")
    return shelf


def test_the_jars_are_fetched_once_and_nothing_else_is_left(capstone: Run, shelf: Shelf) -> None:
    killed = shelf.folder / ".fetching" / "cache" / "first-1.0.jar"
    killed.parent.mkdir(parents=True)
    killed.write_bytes(b"the fi")
    (shelf.folder / "first-0.9.jar").write_bytes(b"pinned once")

    fetched = capstone("s3-jars", "--ivy-settings", str(shelf.ivy_settings))

    assert fetched == (0, f"fetching 2 jars of the S3 client into {shelf.folder}\n", "")
    assert shelf.files() == JARS
    assert [*shelf.user_home.iterdir()] == []
    shelf.leads_to("http://127.0.0.1:9/")
    again = capstone("s3-jars", "--ivy-settings", str(shelf.ivy_settings))
    assert again == (0, f"all 2 jars of the S3 client are in {shelf.folder}; nothing to fetch\n", "")


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_none_is_taken(capstone: Run, shelf: Shelf) -> None:
    shelf.published("second-2.0.jar").write_bytes(b"another")

    code, _, err = capstone("s3-jars", "--ivy-settings", str(shelf.ivy_settings))

    lock_file = shelf.ivy_settings.with_name("s3-jars.lock")
    assert code == 1
    assert err == (
        f"capstone: second-2.0.jar as it was fetched is not the jar that {lock_file} pins: its sha256 differs. "
        "No jar was installed; ask the owners of the repository why, or fetch from another\n"
    )
    assert shelf.files() == {}


def test_a_jar_that_was_changed_in_place_is_told_and_fetched_again(capstone: Run, shelf: Shelf) -> None:
    shelf.folder.mkdir()
    (shelf.folder / "first-1.0.jar").write_bytes(b"changed")
    (shelf.folder / "second-2.0.jar").write_bytes(b"the second")
    with pytest.raises(s3_jars.S3JarsError) as refused:
        s3_jars.jars()
    assert str(refused.value) == NOT_THERE.format("first-1.0.jar is", shelf.folder)

    code, out, _ = capstone("s3-jars", "--ivy-settings", str(shelf.ivy_settings))

    assert (code, out) == (0, f"fetching 1 jar of the S3 client into {shelf.folder}\n")
    assert s3_jars.jars() == [shelf.folder / name for name in JARS]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://user:secret@127.0.0.1:9/", "ConnectException: Connection refused"),
        ("file:///nowhere/", "it does not have that version"),
    ],
)
def test_a_repository_without_the_jars_is_told_in_one_sentence(
    capstone: Run, shelf: Shelf, address: str, reason: str
) -> None:
    shelf.leads_to(address)

    code, _, err = capstone("s3-jars", "--ivy-settings", str(shelf.ivy_settings))

    assert code == 1
    assert err == (
        f"capstone: the repository did not provide first-1.0.jar: {reason}; try again where it can be reached, "
        "or name another with: capstone s3-jars --ivy-settings FILE\n"
    )
    assert shelf.files() == {}


@pytest.mark.parametrize("variable", ["CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI"])
def test_a_run_on_s3_without_the_jars_is_refused_before_anything_starts(
    capstone: Run, home: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "s3://bucket/prefix")
    refusal = NOT_THERE.format("first-1.0.jar and 1 jar more are", shelf.folder)
    assert capstone("run", "2020-08-05") == (1, "", f"capstone: {refusal}\n")
    assert not home.exists()


def test_a_run_of_the_ui_without_the_jars_fails_with_the_same_sentence(shelf: Shelf, tmp_path: Path) -> None:
    day = date(2020, 8, 5)
    platform = Platform(tmp_path / "home", day, more={"CAPSTONE_LAKE_URI": "s3://bucket/lake"})
    platform.sample(day)

    result = platform.run("preprocessing", day)

    assert failure(result) == NOT_THERE.format("first-1.0.jar and 1 jar more are", shelf.folder)


def test_the_pinned_jars_fit_pyspark_and_repeat_none_of_its_own() -> None:
    lines = (CHECKOUT / "deploy" / "s3-jars.lock").read_text().splitlines()
    pinned = {name: version for _, name, version, _ in (line.split() for line in lines if not line.startswith("#"))}
    own = [path.name for path in Path(pyspark.__file__).with_name("jars").glob("*.jar")]

    assert f"hadoop-client-api-{pinned['hadoop-aws']}.jar" in own
    assert pinned["spark-hadoop-cloud_2.13"] == pyspark.__version__
    assert not {name for name in pinned for jar in own if re.fullmatch(rf"{re.escape(name)}-\d.*", jar)}
