"""The password of the warehouse's reader: from Secrets Manager into the database, which is sent no more than its hash.

Run it on the host after the first report, and again after you have changed the secret, by ``capstone exec -- python``.
WAREHOUSE_SECRET_ARN names the secret.
"""

import json
import os
from contextlib import closing

import boto3
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password


def set_password(secret_arn: str, url: str) -> None:
    """Let the role log in with the password of the secret."""
    secret = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"])
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        verifier = encrypt_password(secret["password"], secret["username"], connection, "scram-sha-256")
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD %s").format(sql.Identifier(secret["username"])), [verifier])


if __name__ == "__main__":
    set_password(
        os.environ["WAREHOUSE_SECRET_ARN"],
        os.environ.get("CAPSTONE_WAREHOUSE_URL") or os.environ["CAPSTONE_POSTGRES_URL"],
    )
