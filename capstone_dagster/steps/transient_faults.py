"""Which faults pass by themselves: a service that is busy or down, a connection that breaks, a machine that is lost.

All others are final: missing rights, credentials or buckets, full disks, bad data, errors of the program. ``retries``
tries steps again, and knows further errors that trying again cannot mend.
"""

import re

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from capstone_dagster.steps.lost_spark import UNANSWERED, SparkLostError, text_of
from spark_code.glue import NotRegisteredError

# Parts of AWS error codes for a busy service.
_BUSY = ("Throttl", "TooManyRequests", "RequestLimit", "RequestExpired", "SlowDown", "Timeout", "InternalServer")
# But a server that has not implemented a call (501) stays so.
_BUSY_STATUS = r"(?:408|429|5(?!01)\d\d)\b"

# The store has one class for most faults; only the text says which it was.
_OF_STORE = rf"status code: {_BUSY_STATUS}|<Code>RequestTimeout<|HTTP error: |CredentialRetrievalError: "
_STORE = re.compile(_OF_STORE)

# Spark's faults: a fault on an executor reaches the driver as text within the text of the job's failure.
_SPARK = re.compile(
    rf"Status Code: {_BUSY_STATUS}"  # S3, by any of its clients for Hadoop
    r"|s3a\.(?:AWSServiceThrottled|AWSStatus500|AWSNoResponse|AWSApiCallTimeout|HttpChannelEOF)Exception"
    r"|java\.net\.(?:SocketTimeout|Socket|Connect|NoRouteToHost|UnknownHost)Exception"
    r"|(?:ConnectTimeout|NoHttpResponse|ConnectionClosed|ApiCallTimeout|ApiCallAttemptTimeout)Exception: "
    r"|Python worker exited unexpectedly"  # ended by the system, as a rule
    r"|\bExecutorLostFailure \(|FetchFailed(?:Exception)?\b|because SparkContext was shut down"
    rf"|{_OF_STORE}"  # of the tasks that read raw files
    rf"|{UNANSWERED}"
)


def is_transient(error: BaseException | None) -> bool:
    """Whether the error or its cause passes by itself."""
    return error is not None and (_passes(error) or is_transient(error.__cause__))


def boto_will_pass(error: ClientError | BotoCoreError) -> bool:
    """Whether a service of AWS may answer the same request later."""
    if not isinstance(error, ClientError):
        return isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.CredentialRetrievalError)
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return re.fullmatch(_BUSY_STATUS, str(status)) is not None or any(part in code for part in _BUSY)


def _passes(error: BaseException) -> bool:
    match error:
        # If the JVM is gone, its connection breaks or is refused.
        case SparkLostError() | NotRegisteredError() | ConnectionError() | TimeoutError() | Py4JNetworkError():
            return True
        case ClientError() | BotoCoreError():
            return boto_will_pass(error)
        case BaseError():
            return _STORE.search(str(error).split("\n", 1)[0]) is not None
        case Py4JError() | PySparkException():
            text = text_of(error)
            return text is None or _SPARK.search(text) is not None
    return False
