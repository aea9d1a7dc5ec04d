"""The check that runs before anything is installed, as a script and with fake ``java`` commands."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from capstone_dagster.cli import prerequisites
from capstone_dagster.cli.prerequisites import MissingPrerequisite, require_python

SCRIPT = Path(prerequisites.__file__)
# What the commands really say when they are asked for --add-modules jdk.incubator.vector -version.
JAVA_8 = """\
Unrecognized option: --add-modules
Error: Could not create the Java Virtual Machine.
Error: A fatal exception has occurred. Program will exit."""
NO_VECTOR_MODULE = """\
Error occurred during initialization of boot layer
java.lang.module.FindException: Module jdk.incubator.vector not found"""
MAC_WITHOUT_JAVA = "The operation couldn't be completed. Unable to locate a Java Runtime."


def version(number: str) -> str:
    return f"""\
WARNING: Using incubator modules: jdk.incubator.vector
openjdk version "{number}" 2025-04-15
OpenJDK Runtime Environment (build {number}+6)"""


def command(folder: Path, name: str, says: str = "", code: int = 0) -> None:
    """A program that prints the same on stderr whatever it is asked, as java prints its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{says.replace(chr(34), chr(92) + chr(34))}\" >&2\nexit {code}\n")
    path.chmod(0o755)


def check(environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and everything the script prints, run as ``make`` runs it."""
    ended = subprocess.run(
        [sys.executable, SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("number", ["17", "17.0.15", "17-ea", "21.0.2", "22.0.1"])
def test_a_good_java_passes_in_silence(tmp_path: Path, number: str) -> None:
    command(tmp_path, "java", version(number))

    assert check({"PATH": str(tmp_path)}) == (0, "")


def test_what_java_tool_options_add_to_the_output_does_not_matter(tmp_path: Path) -> None:
    command(tmp_path, "java", f"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\n{version('17.0.15')}")

    assert check({"PATH": str(tmp_path)}) == (0, "")


@pytest.mark.parametrize(
    ("says", "code", "problem"),
    [
        pytest.param(JAVA_8, 1, "it is older than 17", id="8"),
        pytest.param(version("16.0.2"), 0, "it is older than 17", id="16"),
        pytest.param(
            NO_VECTOR_MODULE, 1, "it lacks the module jdk.incubator.vector that Spark needs", id="trimmed-down 17"
        ),
        pytest.param(version("23.0.1"), 0, "Spark 4.1 does not run on Java 23", id="23"),
        pytest.param(version("25"), 0, "Spark 4.1 does not run on Java 25", id="25"),
        pytest.param(MAC_WITHOUT_JAVA, 1, "it does not start", id="a placeholder"),
        pytest.param("", 127, "it does not start", id="silent"),
    ],
)
def test_another_java_is_refused_in_one_sentence_with_what_to_install(
    tmp_path: Path, says: str, code: int, problem: str
) -> None:
    command(tmp_path, "java", says, code)

    assert check({"PATH": str(tmp_path)}) == (
        1,
        f"{tmp_path}/java cannot be used: {problem}; install Java 17 with: brew install openjdk@17\n",
    )


def test_a_java_of_another_machine_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "java").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "java").chmod(0o755)

    assert check({"PATH": str(tmp_path)}) == (
        1,
        f"{tmp_path}/java cannot be used: it does not start; install Java 17 with: brew install openjdk@17\n",
    )


@pytest.mark.parametrize(
    ("installer", "install"),
    [
        ("apt-get", "sudo apt-get install -y openjdk-17-jre-headless"),
        ("dnf", "sudo dnf install -y java-17-openjdk-headless"),
        (None, "brew install openjdk@17"),
    ],
)
def test_without_java_the_command_of_the_machine_s_installer_is_named(
    tmp_path: Path, installer: str | None, install: str
) -> None:
    if installer:
        command(tmp_path, installer)

    assert check({"PATH": str(tmp_path)}) == (
        1,
        f"Java 17 is needed and no java command was found; install it with: {install}\n",
    )


def test_java_home_counts_before_the_path(tmp_path: Path) -> None:
    command(tmp_path / "old", "java", version("11.0.2"))
    command(tmp_path / "home with a space" / "bin", "java", version("17.0.15"))

    assert check({"PATH": f"{tmp_path}/old", "JAVA_HOME": f"{tmp_path}/home with a space"}) == (0, "")


def test_a_java_home_without_java_is_named_though_the_path_has_one(tmp_path: Path) -> None:
    command(tmp_path, "java", version("17.0.15"))

    assert check({"PATH": str(tmp_path), "JAVA_HOME": "/nowhere"}) == (
        1,
        "Java 17 is needed and JAVA_HOME=/nowhere has no bin/java; install it with: brew install openjdk@17\n",
    )


@pytest.mark.parametrize("supported", [(3, 11), (3, 12), (3, 13)])
def test_a_supported_python_passes(supported: tuple[int, int]) -> None:
    require_python(supported)


@pytest.mark.parametrize(
    ("unsupported", "shown"), [((2, 7), "2.7"), ((3, 9), "3.9"), ((3, 10), "3.10"), ((3, 14), "3.14")]
)
@pytest.mark.parametrize(
    ("installer", "install"),
    [
        ("apt-get", "sudo apt-get install -y python3.11 python3.11-venv"),
        ("dnf", "sudo dnf install -y python3.11"),
        (None, "brew install python@3.11"),
    ],
)
def test_another_python_is_refused_in_one_sentence_with_what_to_install(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unsupported: tuple[int, int],
    shown: str,
    installer: str | None,
    install: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if installer:
        command(tmp_path, installer)

    with pytest.raises(MissingPrerequisite) as refused:
        require_python(unsupported)

    assert str(refused.value) == (f"Python 3.11, 3.12 or 3.13 is needed, this is {shown}; install one with: {install}")


def test_an_old_python_can_read_the_file_that_refuses_it() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 6))

    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] == []
    assert imported == {"os", "re", "shutil", "subprocess", "sys"}
