"""How a cluster's commands and settings become those of this machine."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fake_aws.emr_image import EmrImage, StepRefused

IMAGE = EmrImage("http://127.0.0.1:9", "local[2]")
ELSEWHERE = "/opt/nowhere/bin/python"


def run(*arguments: str, configurations: list[dict[str, Any]] | None = None) -> list[str]:
    return IMAGE.command({"Jar": "command-runner.jar", "Args": list(arguments)}, configurations or [])


@pytest.mark.parametrize("program", ["spark-submit", "/usr/bin/spark-submit", "/usr/lib/spark/bin/spark-submit"])
def test_spark_submit_is_that_of_pyspark(program: str) -> None:
    submit, *rest = run(program, "main.py")
    assert Path(submit).parts[-3:] == ("pyspark", "bin", "spark-submit")
    assert Path(submit).is_file()
    assert rest == ["main.py"]


@pytest.mark.parametrize(
    ("given", "here"),
    [
        (["--master", "yarn"], ["--master", "local[2]"]),
        (["--master=yarn"], ["--master", "local[2]"]),
        (["--master", "local[1]"], ["--master", "local[1]"]),
        (["--conf", "spark.master=yarn"], ["--conf", "spark.master=local[2]"]),
        (["--deploy-mode", "client"], ["--deploy-mode", "client"]),
        (["--conf", f"spark.pyspark.python={ELSEWHERE}"], ["--conf", f"spark.pyspark.python={sys.executable}"]),
        (["--conf", "spark.pyspark.python=/bin/sh"], ["--conf", "spark.pyspark.python=/bin/sh"]),
        (["--verbose", "--name", "yarn"], ["--verbose", "--name", "yarn"]),
        (["--conf", "spark.x=a=b", "--py-files", "s3://b/a.zip"], ["--conf", "spark.x=a=b", "--py-files", "s3://b/a.zip"]),
    ],
)  # fmt: skip
def test_options_stay_but_for_what_only_a_cluster_has(given: list[str], here: list[str]) -> None:
    program = ["s3://b/main.py", "--master", "yarn", "--deploy-mode", "cluster"]
    assert run("spark-submit", *given, *program)[1:] == here + program


@pytest.mark.parametrize(
    "arguments",
    [
        ("--deploy-mode", "cluster"),
        ("--deploy-mode=cluster",),
        ("--conf", "spark.submit.deployMode=cluster"),
    ],
)
def test_cluster_mode_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(StepRefused, match="must be client"):
        run("spark-submit", *arguments, "main.py")


def test_cluster_mode_of_the_cluster_is_refused() -> None:
    in_cluster = [{"Classification": "spark-defaults", "Properties": {"spark.submit.deployMode": "cluster"}}]
    with pytest.raises(StepRefused, match="must be client"):
        run("spark-submit", "main.py", configurations=in_cluster)


def test_settings_of_the_cluster_come_above_those_of_the_image(tmp_path: Path) -> None:
    IMAGE.write_settings(
        tmp_path / "conf",
        [
            {
                "Classification": "spark-defaults",
                "Properties": {
                    "spark.hadoop.fs.s3a.path.style.access": "false",
                    "spark.master": "yarn",
                    "spark.pyspark.python": ELSEWHERE,
                },
            },
            {"Classification": "hadoop-env", "Properties": {"ignored": "1"}},
        ],
    )
    lines = (tmp_path / "conf" / "spark-defaults.conf").read_text().splitlines()
    settings = dict(line.split(" ", 1) for line in lines)
    assert settings["spark.hadoop.fs.s3a.path.style.access"] == "false"
    assert settings["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9"
    assert settings["spark.master"] == "local[2]"
    assert settings["spark.pyspark.python"] == sys.executable
    assert "ignored" not in settings


def test_spark_runs_here_without_a_word_of_the_cluster(tmp_path: Path) -> None:
    IMAGE.write_settings(tmp_path / "conf", [])
    assert "spark.master local[2]" in (tmp_path / "conf" / "spark-defaults.conf").read_text().splitlines()


def test_exports_of_the_cluster_are_there_for_spark(tmp_path: Path) -> None:
    exports = {"PYSPARK_PYTHON": ELSEWHERE, "GREETING": "it's $HOME"}
    nested = [{"Classification": "export", "Properties": exports}]
    IMAGE.write_settings(tmp_path / "conf", [{"Classification": "spark-env", "Configurations": nested}])
    script = f'. "{tmp_path}/conf/spark-env.sh"; printf "%s\\n" "$PYSPARK_PYTHON" "$GREETING"'
    assert subprocess.check_output(["/bin/sh", "-c", script], text=True).splitlines() == [
        sys.executable,
        "it's $HOME",
    ]
