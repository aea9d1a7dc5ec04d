"""A client of S3 on loopback, which ignores all AWS profiles and settings of the host."""

import functools
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.session import Session

from fake_aws.emr_image import CREDENTIALS, REGION


@functools.cache
def s3_client(endpoint: str) -> Any:
    """The client of this server."""
    own: dict[str, Any] = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.Session(botocore_session=Session(session_vars=own)).client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
