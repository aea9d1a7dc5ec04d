"""The logs of steps on S3, as EMR writes them: gzipped, below the cluster's LogUri, possibly later."""

import functools
import gzip
import logging
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from fake_aws.emr_image import CREDENTIALS, REGION

NAMES = ("controller", "stdout", "stderr")

_logger = logging.getLogger(__name__)


class StepLogs:
    """Writes the logs of ended steps to S3 on loopback."""

    def __init__(self, s3_endpoint: str, delay: float) -> None:
        self._s3_endpoint = s3_endpoint
        self._delay = delay
        self._waiting: list[threading.Timer] = []

    def publish(self, folder: Path, log_uri: str) -> None:
        """Write a step's logs now, or after the delay as EMR does."""
        content = {name: gzip.compress((folder / name).read_bytes()) for name in NAMES if (folder / name).exists()}
        if not self._delay:
            self._write(content, log_uri)
            return
        timer = threading.Timer(self._delay, self._write, (content, log_uri))
        timer.daemon = True
        self._waiting.append(timer)
        timer.start()

    def stop(self) -> None:
        """Drop the logs that are not written yet."""
        for timer in self._waiting:
            timer.cancel()
            timer.join()

    def _write(self, content: dict[str, bytes], log_uri: str) -> None:
        place = urlsplit(log_uri)
        for name, data in content.items():
            try:
                self._client.put_object(Bucket=place.netloc, Key=f"{place.path.lstrip('/')}/{name}.gz", Body=data)
            except (BotoCoreError, ClientError) as error:
                _logger.warning("the fake EMR cannot write %s/%s.gz: %s", log_uri, name, error)

    @functools.cached_property
    def _client(self) -> Any:
        # Ignore all AWS profiles and settings of the host.
        own: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        return boto3.Session(botocore_session=Session(session_vars=own)).client(
            "s3",
            region_name=REGION,
            endpoint_url=self._s3_endpoint,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
