"""The logs of steps on S3, as EMR writes them: gzipped, below the cluster's LogUri, possibly later."""

import gzip
import logging
import threading
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from fake_aws.s3_client import s3_client

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
                s3_client(self._s3_endpoint).put_object(
                    Bucket=place.netloc, Key=f"{place.path.lstrip('/')}/{name}.gz", Body=data
                )
            except (BotoCoreError, ClientError) as error:
                _logger.warning("the fake EMR cannot write %s/%s.gz: %s", log_uri, name, error)
