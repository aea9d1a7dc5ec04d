"""The password of the run storage: from Secrets Manager into the file that libpq reads for every connection.

RDS changes the password every week. A timer runs this every minute, so that nothing needs a restart: neither services
nor runs hold the password. Started by ``capstone-password.service``, which sets DATABASE_SECRET_ARN and PGPASSFILE.
"""

import json
import os
import tempfile
from pathlib import Path

import boto3


def write(secret_arn: str, passfile: Path) -> None:
    """Replace the file in one step: a connection reads the old one or the new one."""
    secret = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"])
    password = secret["password"].replace("\\", "\\\\").replace(":", "\\:")
    # Made readable for its owner only; libpq ignores one that others can read.
    descriptor, part = tempfile.mkstemp(dir=passfile.parent, prefix=".part")
    with os.fdopen(descriptor, "w") as file:
        file.write(f"*:*:*:{secret['username']}:{password}\n")
    Path(part).replace(passfile)


if __name__ == "__main__":
    write(os.environ["DATABASE_SECRET_ARN"], Path(os.environ["PGPASSFILE"]))
