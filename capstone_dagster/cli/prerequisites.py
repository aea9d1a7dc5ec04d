"""What a machine must have before anything else works: Python 3.11 to 3.13 and Java 17 to 22.

This module also runs by itself on any Python since 3.6, before the virtual environment exists. So it uses only the
standard library and no newer syntax.
"""

import os
import re
import shutil
import subprocess
import sys

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
# Spark 4.1 needs 17. Its Hadoop 3.4.2 calls Subject.getSubject, which Java refuses since 23; Hadoop 3.4.3 does not.
OLDEST_JAVA, NEWEST_JAVA = 17, 22


class MissingPrerequisite(Exception):  # noqa: N818 - no error of the program
    """Something is missing; the message says what, and the command that installs it."""


def _install(apt: str, dnf: str, brew: str) -> str:
    for tool, command in (("apt-get", f"sudo apt-get install -y {apt}"), ("dnf", f"sudo dnf install -y {dnf}")):
        if shutil.which(tool):
            return command
    return f"brew install {brew}"


def require_python(version: tuple = sys.version_info[:2]) -> None:  # type: ignore[type-arg]
    """Refuse a Python that the dependencies do not support."""
    if not OLDEST_PYTHON <= tuple(version) <= NEWEST_PYTHON:
        install = _install("python3.11 python3.11-venv", "python3.11", "python@3.11")
        raise MissingPrerequisite(
            f"Python 3.11, 3.12 or 3.13 is needed, this is {version[0]}.{version[1]}; install one with: {install}"
        )


def require_java() -> None:
    """Refuse a machine without a Java that Spark 4 runs on."""
    install = _install("openjdk-17-jre-headless", "java-17-openjdk-headless", "openjdk@17")
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if not java:
        where = f"JAVA_HOME={home} has no bin/java" if home else "no java command was found"
        raise MissingPrerequisite(f"Java 17 is needed and {where}; install it with: {install}")
    # Spark starts Java with this option; some trimmed-down builds of Java lack the module.
    command = [java, "--add-modules", "jdk.incubator.vector", "-version"]
    try:
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)  # noqa: S603
        output = run.stdout.decode(errors="replace")
    except OSError:  # not a program for this machine
        output = ""
    found = re.search(r'version "(?:1\.)?(\d+)', output)
    major = int(found.group(1)) if found else None
    if major is None and "jdk.incubator.vector" in output:
        problem = "it lacks the module jdk.incubator.vector that Spark needs"
    elif major is None or major < OLDEST_JAVA:
        problem = "it is older than 17" if major or "Unrecognized" in output else "it does not start"
    elif major > NEWEST_JAVA:
        problem = f"Spark 4.1 does not run on Java {major}"
    else:
        return
    raise MissingPrerequisite(f"{java} cannot be used: {problem}; install Java 17 with: {install}")


if __name__ == "__main__":
    try:
        require_python()
        require_java()
    except MissingPrerequisite as missing:
        sys.exit(str(missing))
