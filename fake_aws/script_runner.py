"""Scripts on S3, which EMR fetches and runs: as bootstrap actions, and as steps of its script-runner.jar."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from fake_aws.emr_image import StepRefused
from fake_aws.s3_client import s3_client

# In the bucket of the region, and its old place.
_JAR = "/libs/script-runner/script-runner.jar"


def with_script(step: Mapping[str, Any], s3_endpoint: str, folder: Path) -> Mapping[str, Any]:
    """The step as one of command-runner.jar that runs the script in the folder; other steps as they are."""
    if not step["Jar"].startswith("s3://") or not step["Jar"].endswith(_JAR):
        return step
    uri, *arguments = step.get("Args") or [""]
    return {"Jar": "command-runner.jar", "Args": [str(fetched(uri, s3_endpoint, folder)), *arguments]}


def fetched(uri: str, s3_endpoint: str, folder: Path) -> Path:
    """The script in the folder; as on EMR, its first line says what runs it."""
    place, script = urlsplit(uri), folder / "script"
    if place.scheme != "s3":
        raise StepRefused(f"EMR runs a script on S3, not {uri!r}")
    try:
        found = s3_client(s3_endpoint).get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
    except (BotoCoreError, ClientError) as error:
        raise StepRefused(f"the script {uri} cannot be fetched: {error}") from error
    script.write_bytes(found["Body"].read())
    script.chmod(0o755)
    return script
