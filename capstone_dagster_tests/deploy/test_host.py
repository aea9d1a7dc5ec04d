"""What runs on the host beside Dagster: the password's file, the heartbeat, and the units that start everything."""

import configparser
import importlib
import itertools
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path

import psycopg2
import pytest

from capstone_dagster_tests.capstone_dagster.run_storage.test_named_server import (
    ESCAPED,
    port,  # noqa: F401 -- a fixture, found by import
)
from capstone_dagster_tests.deploy.stacks import PLATFORM, ROOT, Stacks, template

HOST = ROOT / "deploy" / "host"
UNITS = sorted((HOST / "systemd").iterdir())


def _run(script: str, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, HOST / script], env={**os.environ, **environment}, check=True)


@pytest.mark.parametrize(
    ("retries", "refusal"),
    [("2", ""), ("often", "install: nothing was changed: CAPSTONE_MAX_RETRIES: 'often' cannot be used: ")],
)
def test_the_installation_checks_the_settings_before_anything_is_switched(
    tmp_path: Path, retries: str, refusal: str
) -> None:
    (check,) = re.findall(r"<<'CHECK'\n(.*?)^CHECK$", (HOST / "install.sh").read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "env").write_text(f"CAPSTONE_MAX_RETRIES={retries}\n")

    command = [sys.executable, "-", f"{tmp_path / 'env'}"]
    ended = subprocess.run(command, input=check, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == bool(refusal)
    assert ended.stderr[: len(refusal) or None] == refusal


def test_the_link_to_the_release_in_use_can_be_installed_again(tmp_path: Path) -> None:
    (line,) = re.findall(r"^release=.*$", (HOST / "install.sh").read_text(), re.MULTILINE)
    (tmp_path / "1.0" / "deploy" / "host").mkdir(parents=True)
    (tmp_path / "current").symlink_to(tmp_path / "1.0")

    script = tmp_path / "current" / "deploy" / "host" / "install.sh"
    command = ["bash", "-c", f'{line}\necho "$release"', f"{script}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ended.stdout == f"{tmp_path / '1.0'}\n"


def test_the_logs_of_the_host_are_bounded() -> None:
    installer, journal = (HOST / "install.sh").read_text(), configparser.ConfigParser()
    journal.read(HOST / "journald.conf")
    *_, rule = (HOST / "tmpfiles.conf").read_text().splitlines()
    [home] = re.findall(r"^CAPSTONE_HOME=(.*)$", installer, re.MULTILINE)

    assert journal["Journal"]["SystemMaxUse"] == "2G"
    assert rule == f"e {home}/logs/runs - - - {template('storage')['Parameters']['LogDays']['Default']}d"
    for name, folder in (("journald.conf", "systemd/journald.conf.d"), ("tmpfiles.conf", "tmpfiles.d")):
        assert f'"$release/deploy/host/{name}" /etc/{folder}/capstone.conf' in installer


def test_a_changed_password_is_taken_from_the_file_by_the_next_connection(
    stacks: Stacks,
    tmp_path: Path,
    port: int,  # noqa: F811 -- the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets, arn = stacks.client("secretsmanager"), stacks.outputs("database")["DatabaseSecretArn"]
    passfile = tmp_path / "pgpass"
    environment = {**stacks.environment(), "DATABASE_SECRET_ARN": arn, "PGPASSFILE": str(passfile)}
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    url = f"postgresql://trader@127.0.0.1:{port}/market"

    secrets.put_secret_value(SecretId=arn, SecretString='{"username": "trader", "password": "s3cret @ 100%"}')
    _run("database_password.py", environment)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER ROLE trader PASSWORD %s", (r"n:w\ one",))
        connection.commit()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url)

    secrets.put_secret_value(SecretId=arn, SecretString=r'{"username": "trader", "password": "n:w\\ one"}')
    _run("database_password.py", environment)
    psycopg2.connect(url).close()
    assert passfile.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["pgpass"]


def test_the_reader_of_the_warehouse_logs_in_with_the_password_of_its_secret(
    stacks: Stacks,
    port: int,  # noqa: F811 -- the fixture
) -> None:
    secrets, arn = stacks.client("secretsmanager"), stacks.outputs("database")["WarehouseSecretArn"]
    owner = f"postgresql://owner:{ESCAPED}@127.0.0.1:{port}/market"
    with closing(psycopg2.connect(owner)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE warehouse_reader LOGIN")
    secrets.put_secret_value(SecretId=arn, SecretString='{"username": "warehouse_reader", "password": "r3@d"}')

    settings = {"WAREHOUSE_SECRET_ARN": arn, "CAPSTONE_POSTGRES_URL": owner}
    _run("warehouse_reader.py", {**stacks.environment(), **settings})

    psycopg2.connect(f"postgresql://warehouse_reader:r3%40d@127.0.0.1:{port}/market").close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(f"postgresql://warehouse_reader:other@127.0.0.1:{port}/market")


def _upload_certificates(stacks: Stacks, folder: Path, days: int) -> str:
    """As step 3 of the runbook does."""
    install_uri = stacks.outputs("storage")["InstallUri"]
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        f"{days}",
        "-subj",
        "/CN=*.ec2.internal",
    ]
    files = ["-keyout", "privateKey.pem", "-out", "certificateChain.pem"]
    subprocess.run([*made, *files], cwd=folder, capture_output=True, check=True)
    with zipfile.ZipFile(folder / "certificates.zip", "w") as packed:
        packed.write(folder / "certificateChain.pem", "certificateChain.pem")
    bucket, _, prefix = install_uri.removeprefix("s3://").partition("/")
    stacks.client("s3").upload_file(f"{folder / 'certificates.zip'}", bucket, f"{prefix}/certificates.zip")
    return install_uri


def test_the_heartbeat_reports_a_dead_daemon_the_oldest_cluster_of_the_platform_and_its_certificates(
    stacks: Stacks, tmp_path: Path
) -> None:
    emr, cloudwatch = stacks.client("emr"), stacks.client("cloudwatch")
    machines = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    for name in ("somebody's", "capstone daily_pipeline_2020-08-06 1234 1"):
        emr.run_job_flow(Name=name, Instances=machines, JobFlowRole="r", ServiceRole="s")
    environment = {
        **stacks.environment(),
        "PLATFORM": PLATFORM,
        "INSTALL_URI": _upload_certificates(stacks, tmp_path, days=20),
        # A run storage that nobody reaches.
        "CAPSTONE_HOME": str(tmp_path),
        "CAPSTONE_POSTGRES_URL": "postgresql://capstone@127.0.0.1:1/dagster",
    }

    _run("heartbeat.py", environment)

    now = datetime.now(UTC)
    values = {}
    for name in ("DaemonAlive", "OldestClusterHours", "CertificateDays"):
        found = cloudwatch.get_metric_statistics(
            Namespace="Capstone",
            MetricName=name,
            Dimensions=[{"Name": "Platform", "Value": PLATFORM}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Maximum"],
        )
        [values[name]] = [point["Maximum"] for point in found["Datapoints"]]
    assert values["DaemonAlive"] == 0
    assert 0 < values["OldestClusterHours"] < 1
    assert 19 < values["CertificateDays"] < 20.1


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_what_exists(
    unit: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    read.read(unit)
    if unit.suffix == ".timer":
        assert unit.with_suffix(".service") in UNITS
        return

    assert (read["Service"]["User"], read["Service"]["NoNewPrivileges"]) == ("capstone", "yes")
    program, *arguments = read["Service"]["ExecStart"].split()
    assert program in [f"/opt/capstone/current/.venv/bin/{name}" for name in ("capstone", "python")]
    for path in [argument for argument in arguments if argument.startswith("deploy/")]:
        assert (ROOT / path).exists(), path
    if program.endswith("capstone"):
        _refuse_unknown_options(arguments, monkeypatch, capsys)


def _refuse_unknown_options(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options that a unit gives to a program are those that it has."""
    run, dashes, *command = arguments
    assert (run, dashes) == ("exec", "--")
    main, words = _program(list(itertools.takewhile(lambda argument: not argument.startswith("--"), command)))
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    with pytest.raises(SystemExit):
        main()
    known = capsys.readouterr().out
    assert [argument for argument in command if argument.startswith("--") and argument not in known] == []


def _program(words: list[str]) -> tuple[Callable[[], object], list[str]]:
    """What the words start, and the words that it finds as its own."""
    if words[:2] == ["python", "-m"]:
        return importlib.import_module(words[2]).main, words[2:]
    [program] = entry_points(group="console_scripts", name=words[0])
    return program.load(), words
