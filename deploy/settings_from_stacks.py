"""Prints the settings that follow from the stacks of a platform, in the form of ``.env``.

    python deploy/settings_from_stacks.py PLATFORM

An output whose name begins with Capstone is a setting: CapstoneRawUri is CAPSTONE_RAW_URI. What is set here is in
``.env.example``; the stacks are in ``deploy/cloudformation``. The host runs this when it installs a release.
"""

import re
import sys

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

STACKS = ("storage", "network", "database", "emr", "alarms")
# What the services of the host need besides the settings.
_OF_THE_HOST = ("DatabaseSecretArn", "WarehouseSecretArn", "InstallUri")


def settings_of(platform: str) -> dict[str, str]:
    """The variables by name."""
    session = boto3.Session()
    cloudformation = session.client("cloudformation")
    given = {"CAPSTONE_DEPLOYMENT": "emr", "PLATFORM": platform, "AWS_DEFAULT_REGION": session.region_name}
    for name in STACKS:
        [stack] = cloudformation.describe_stacks(StackName=f"{platform}-{name}")["Stacks"]
        for output in stack["Outputs"]:
            key = output["OutputKey"]
            if key.startswith("Capstone") or key in _OF_THE_HOST:
                given[re.sub(r"(?<!^)(?=[A-Z])", "_", key).upper()] = output["OutputValue"]
    return given


@click.command()
@click.argument("platform")
def main(platform: str) -> None:
    """Print the settings that follow from the stacks of PLATFORM, in the form of .env."""
    try:
        settings = settings_of(platform)
    except (BotoCoreError, ClientError) as error:
        click.echo(f"the stacks of {platform} cannot be read: {error}", err=True)
        sys.exit(1)
    for name, value in settings.items():
        click.echo(f"{name}={value}")


if __name__ == "__main__":
    main()
