"""The settings that deploy/settings_from_stacks.py prints are those that the platform takes."""

import io
import json
import os
import re
import subprocess
import sys
from typing import Any

from dotenv import dotenv_values

from capstone_dagster.settings import Settings, unknown_variables
from capstone_dagster_tests.deploy.stacks import ACCOUNT, PLATFORM, REGION, ROOT, Stacks, template

BUCKET = f"{PLATFORM}-{{}}-{ACCOUNT}-{REGION}"


def _run(stacks: Stacks, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "settings_from_stacks.py", *arguments],
        env={**os.environ, **stacks.environment()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_outputs_of_the_stacks_are_settings_of_the_platform(stacks: Stacks) -> None:
    printed = _run(stacks, PLATFORM)
    assert printed.returncode == 0, printed.stderr
    given = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(printed.stdout)).items()}

    settings = Settings.from_mapping(given)

    assert unknown_variables(given) == []
    assert (settings.deployment, settings.raw_uri, settings.lake_uri) == (
        "emr",
        f"s3://{BUCKET.format('raw')}",
        f"s3://{BUCKET.format('lake')}",
    )
    [database] = stacks.client("rds").describe_db_instances(DBInstanceIdentifier=PLATFORM)["DBInstances"]
    host = database["Endpoint"]["Address"]
    assert settings.postgres_url == f"postgresql://capstone@{host}:5432/dagster?sslmode=verify-full"
    assert settings.glue_database == "market_data"
    assert settings.emr is not None
    assert settings.emr.staging_uri == f"s3://{BUCKET.format('work')}/staging"
    assert settings.emr.log_uri == f"s3://{BUCKET.format('work')}/logs"
    assert settings.emr.subnets == tuple(stacks.made("network", f"PrivateSubnet{zone}") for zone in "AB")
    assert settings.emr.service_role == f"arn:aws:iam::{ACCOUNT}:role/{stacks.made('emr', 'ServiceRole')}"
    assert settings.emr.instance_profile == stacks.made("emr", "InstanceProfile")
    assert settings.emr.security_configuration == stacks.made("emr", "SecurityConfiguration")


def test_the_services_of_the_host_are_told_where_the_password_and_the_releases_are(stacks: Stacks) -> None:
    given = dotenv_values(stream=io.StringIO(_run(stacks, PLATFORM).stdout))

    assert {name: value for name, value in given.items() if not name.startswith("CAPSTONE_")} == {
        "PLATFORM": PLATFORM,
        "AWS_DEFAULT_REGION": REGION,
        "DATABASE_SECRET_ARN": stacks.outputs("database")["DatabaseSecretArn"],
        "WAREHOUSE_SECRET_ARN": stacks.outputs("database")["WarehouseSecretArn"],
        "INSTALL_URI": f"s3://{BUCKET.format('work')}/install",
    }


def test_a_platform_without_stacks_is_one_line(stacks: Stacks) -> None:
    refused = _run(stacks, "elsewhere")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("the stacks of elsewhere cannot be read: ")
    assert len(refused.stderr.splitlines()) == 1


def test_the_document_says_what_the_roles_of_emr_need_where_no_host_is() -> None:
    section = (ROOT / "docs" / "aws.md").read_text().split("\n## Without the stacks\n")[1].split("\n## ")[0]
    imported = set(re.findall(r'"Fn::ImportValue": \{"Fn::Sub": "([^"]+)"', json.dumps(template("emr")["Resources"])))
    exported = {made["Export"]["Name"]["Fn::Sub"] for made in _outputs("storage").values() if "Export" in made}
    given = [key for stack in ("storage", "emr") for key in _outputs(stack) if key.startswith("Capstone")]
    settings = {re.sub(r"(?<!^)(?=[A-Z])", "_", key).upper() for key in given}

    assert imported
    assert imported <= exported
    assert "`deploy storage && deploy emr`" in section
    assert {name for name in settings if f"`{name}`" not in section} == {"CAPSTONE_GLUE_DATABASE"}  # not needed


def _outputs(stack: str) -> dict[str, Any]:
    return dict(template(stack)["Outputs"])
