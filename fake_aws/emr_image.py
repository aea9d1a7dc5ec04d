"""What a step finds on the primary node: Spark's commands and settings, Python, and a separate environment.

EMR's image has them in fixed places; here they are those of this venv. A step gets nothing of the host's environment,
so that it cannot depend on what a cluster does not have.
"""

import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGION = "us-east-1"
# S3 on loopback accepts any; nobody can take these for real ones.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "loopback", "AWS_SECRET_ACCESS_KEY": "loopback"}
# Steps are short here, and Java's better compiler costs half of the time of a short JVM.
_QUICK_JVM = "-XX:TieredStopAtLevel=1"
_JARS = Path(__file__).parents[1] / ".jars"

_SPARK_SUBMIT = ("spark-submit", "/usr/bin/spark-submit", "/usr/lib/spark/bin/spark-submit")
# The options of spark-submit without a value.
_FLAGS = ("--verbose", "-v", "--supervise", "--version", "--help", "-h")
_PYTHON_SETTINGS = ("spark.pyspark.python", "spark.pyspark.driver.python")
_PYTHON_VARIABLES = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")


class StepRefused(Exception):  # noqa: N818 - it is the step's failure, not the fake's
    """This image cannot run the step."""


@dataclass(frozen=True)
class EmrImage:
    """The commands and settings of every step, with Spark on this machine and S3 on loopback."""

    s3_endpoint: str
    local_master: str

    def command(self, step: Mapping[str, Any], configurations: Sequence[Mapping[str, Any]]) -> list[str]:
        """The command that runs the step here."""
        jar, arguments = step["Jar"], list(step.get("Args", []))
        if jar != "command-runner.jar" or not arguments:
            raise StepRefused(f"the fake EMR runs the Args of command-runner.jar, not {jar} with {arguments}")
        if arguments[0] not in _SPARK_SUBMIT:
            return arguments
        for name, value in _properties(configurations, "spark-defaults").items():
            self._setting_here(name, value)
        return [self.program("spark-submit"), *self._here(arguments[1:])]

    def program(self, name: str) -> str:
        """The path of one of Spark's programs."""
        return str(self._spark_home / "bin" / name)

    def write_settings(self, folder: Path, configurations: Sequence[Mapping[str, Any]]) -> None:
        """Write spark-defaults.conf and spark-env.sh: the image's settings, overridden by the cluster's."""
        folder.mkdir()
        defaults = self._defaults() | _properties(configurations, "spark-defaults")
        lines = [f"{name} {self._setting_here(name, value)}\n" for name, value in defaults.items()]
        (folder / "spark-defaults.conf").write_text("".join(lines))
        exports = _properties(configurations, "spark-env", "export")
        for name in _PYTHON_VARIABLES:
            if name in exports:
                exports[name] = _python_here(exports[name])
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in exports.items()]
        (folder / "spark-env.sh").write_text("".join(lines))

    def environment(self, folder: Path) -> dict[str, str]:
        """The whole environment of a step; its home and its temporary files are in its folder."""
        java = os.environ.get("JAVA_HOME")
        java_folder = Path(java, "bin") if java else Path(shutil.which("java") or "/usr/bin/java").parent
        temporary = folder / "tmp"
        options = [_QUICK_JVM, f"-Djava.io.tmpdir={temporary}", f"-Duser.home={folder}"]
        return {
            **CREDENTIALS,
            **({"JAVA_HOME": java} if java else {}),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Requests to other services must not leave this machine either.
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint,
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), str(java_folder), "/usr/local/bin:/usr/bin:/bin"]
            ),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_CONF_DIR": str(folder / "conf"),
            "SPARK_HOME": str(self._spark_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            # If Spark is killed, it would leave fetched files in the host's temporary folder.
            "SPARK_SUBMIT_OPTS": shlex.join(options),
            "TMPDIR": str(temporary),
            "TZ": "UTC",
        }

    @property
    def _spark_home(self) -> Path:
        spec = importlib.util.find_spec("pyspark")
        if spec is None or spec.origin is None:
            raise StepRefused(f"{sys.executable} has no PySpark")
        return Path(spec.origin).parent

    def _defaults(self) -> dict[str, str]:
        """As on EMR, s3:// works without settings in the step."""
        return {
            "spark.driver.extraClassPath": f"{_JARS}/*",
            "spark.executor.extraClassPath": f"{_JARS}/*",
            "spark.executor.extraJavaOptions": _QUICK_JVM,
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
            "spark.hadoop.fs.s3a.aws.credentials.provider": (
                "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
            ),
            "spark.hadoop.fs.s3a.endpoint": self.s3_endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": REGION,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.master": self.local_master,
            # Machines have no common disk: executors fetch rows from each other.
            "spark.shuffle.readHostLocalDisk": "false",
            "spark.ui.enabled": "false",
        }

    def _here(self, arguments: Sequence[str]) -> Iterator[str]:
        """The options up to the main file with YARN and a cluster's Python replaced, and the rest unchanged."""
        rest = iter(arguments)
        for argument in rest:
            if not argument.startswith("-"):
                yield argument
                yield from rest
            elif argument in _FLAGS:
                yield argument
            else:
                option, joined, value = argument.partition("=")
                yield from (option, self._value_here(option, value if joined else next(rest, "")))

    def _value_here(self, option: str, value: str) -> str:
        if option not in {"--conf", "-c"}:
            setting = {"--master": "spark.master", "--deploy-mode": "spark.submit.deployMode"}.get(option, "")
            return self._setting_here(setting, value)
        name, _, of_name = value.partition("=")
        return f"{name}={self._setting_here(name, of_name)}"

    def _setting_here(self, name: str, value: str) -> str:
        if name == "spark.submit.deployMode" and value == "cluster":
            raise StepRefused("the fake EMR has no YARN: the deploy mode must be client")
        if name == "spark.master" and value == "yarn":
            return self.local_master
        return _python_here(value) if name in _PYTHON_SETTINGS else value


def _python_here(python: str) -> str:
    """A cluster's Python if this machine has it, otherwise this Python."""
    return python if shutil.which(python) else sys.executable


def _properties(configurations: Sequence[Mapping[str, Any]], *path: str) -> dict[str, str]:
    """The merged properties of a classification, or of one nested in it."""
    merged: dict[str, str] = {}
    for one in configurations:
        if one.get("Classification") == path[0]:
            if path[1:]:
                merged |= _properties(one.get("Configurations", []), *path[1:])
            else:
                merged |= one.get("Properties", {})
    return merged
