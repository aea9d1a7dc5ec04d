"""Which faults pass by themselves: as S3, EMR and Spark really raise them."""

import errno
import socket
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, EndpointConnectionError, NoCredentialsError
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import AnalysisException

from capstone_dagster.emr.cluster import NoClusterError
from capstone_dagster.steps.transient_faults import boto_will_pass, is_transient
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- pytest finds fixtures by their import
    BREAK,
    Faults,
    faulty_front,
    faulty_s3,
)
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- the same
from spark_code.lake import AuditError, StaleAttemptError
from spark_code.locations import StorageError
from spark_code.storage import NoBucketError, Storage

ASKED: dict[str, Callable[[Storage], object]] = {
    "read": lambda storage: storage.read("key"),
    "list": lambda storage: storage.objects("key"),
    "write": lambda storage: storage.write("key", b"1"),
    "replace": lambda storage: storage.replace("key", lambda _: b"1"),
    "bucket": Storage.require_bucket,
}


@pytest.mark.parametrize("asked", ["read", "list", "write", "replace"])
@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        ("500 InternalError", True),
        ("503 SlowDown", True),
        ("429 TooManyRequests", True),
        ("400 RequestTimeout", True),
        (BREAK, True),
        ("501 NotImplemented", False),
        ("403 AccessDenied", False),
        ("400 ExpiredToken", False),
        ("301 PermanentRedirect", False),
    ],
)
def test_of_the_faults_of_s3_those_pass_that_are_not_ours(
    faults: Faults,
    s3_uri: str,  # noqa: F811 -- the fixture
    asked: str,
    fault: str,
    passes: bool,
) -> None:
    faults.add(fault, f" /{s3_uri.removeprefix('s3://')}")

    with pytest.raises(StorageError) as raised:
        ASKED[asked](Storage(s3_uri))

    assert is_transient(raised.value) == passes


@pytest.mark.parametrize("asked", ["list", "bucket"])
def test_a_bucket_that_is_not_there_does_not_come_by_itself(faults: Faults, asked: str) -> None:
    del faults
    with pytest.raises(StorageError, match="no-such-bucket") as raised:
        ASKED[asked](Storage("s3://no-such-bucket"))

    assert not is_transient(raised.value)


@pytest.mark.parametrize(
    ("fault", "error", "passes"), [("503 Slow", StorageError, True), ("403 No", NoBucketError, False)]
)
def test_a_bucket_is_refused_or_only_cannot_be_asked_for(
    faults: Faults,
    s3_uri: str,  # noqa: F811 -- the fixture
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    error: type[StorageError],
    passes: bool,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    faults.add(fault, "HEAD ")

    with pytest.raises(StorageError) as raised:
        Storage(s3_uri).require_bucket()

    assert (type(raised.value), is_transient(raised.value)) == (error, passes)


def test_a_server_of_s3_that_is_not_there_may_come_back(
    faults: Faults,
    s3_uri: str,  # noqa: F811 -- the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del faults
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unheard.getsockname()[1]}")
        with pytest.raises(StorageError) as raised:
            Storage(s3_uri).read("key")

    assert is_transient(raised.value)


def test_missing_credentials_do_not_come_by_themselves(
    s3_uri: str,  # noqa: F811 -- the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StorageError, match="no AWS credentials were found") as raised:
        Storage(s3_uri).read("key")

    assert not is_transient(raised.value)


@pytest.mark.parametrize(
    ("code", "status", "passes"),
    [
        ("AccessDeniedException", 400, False),
        ("UnrecognizedClientException", 403, False),
        ("ExpiredTokenException", 400, False),
        ("VcpuLimitExceeded", 400, False),
        ("NotImplemented", 501, False),
        ("ThrottlingException", 400, True),
        ("RequestLimitExceeded", 400, True),
        ("RequestTimeout", 400, True),
        ("InternalServerException", 400, True),
        ("ServiceUnavailable", 503, True),
        ("Whatever", 429, True),
    ],
)
def test_a_missing_right_does_not_pass_and_a_busy_service_does(code: str, status: int, passes: bool) -> None:
    response = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}

    assert boto_will_pass(ClientError(response, "DescribeStep")) == passes


# As py4j brings them, shortened to the lines that count.
IN_A_JOB = (
    "An error occurred while calling o122.parquet.\n: org.apache.spark.SparkException: Job aborted due to stage "
    "failure: Task 1 in stage 4.0 failed 4 times, most recent failure: Lost task 1.0 in stage 4.0 (TID 9): {}\n"
    "\tat org.apache.hadoop.fs.s3a.S3AUtils.translateException(S3AUtils.java:273)\n"
)
READING = (
    "An error occurred while calling o100.collectToPython.\n: org.apache.spark.SparkException: "
    "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file s3://b/part-0.parquet.  SQLSTATE: KD001\n"
    "\tat java.base/java.net.Socket.connect(Socket.java:1)\nCaused by: {}\n"
)
S3_503 = (
    "org.apache.hadoop.fs.s3a.AWSServiceThrottledException: re-open s3a://b/k: software.amazon.awssdk.services.s3."
    "model.S3Exception: Please (Service: S3, Status Code: 503, Request ID: null):SlowDown"
)
S3_403 = (
    "java.nio.file.AccessDeniedException: s3a://b/k: software.amazon.awssdk.services.s3.model.S3Exception: Please "
    "(Service: S3, Status Code: 403, Request ID: null)"
)


@pytest.mark.parametrize("frame", [IN_A_JOB, READING])
@pytest.mark.parametrize(
    ("cause", "passes"),
    [
        (S3_503, True),
        ("org.apache.hadoop.fs.s3a.AWSStatus500Exception: PUT 0-byte object on out3: ...", True),
        ("org.apache.hadoop.fs.s3a.HttpChannelEOFException: initiate MultiPartUpload on out8: ...", True),
        ("com.amazonaws...AmazonS3Exception: Slow Down (Service: Amazon S3; Status Code: 503; ...)", True),
        ("java.net.SocketTimeoutException: Read timed out", True),
        ("java.net.SocketException: Connection reset", True),
        ("org.apache.http.NoHttpResponseException: The target server failed to respond", True),
        ("org.apache.hadoop.net.ConnectTimeoutException: connect timed out", True),
        ("ExecutorLostFailure (executor 3 exited caused by one of the running tasks) Reason: ...", True),
        ("org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)", True),
        (S3_403, False),
        ("org.apache.hadoop.fs.s3a.UnknownStoreException: s3a://b/k: (Service: S3, Status Code: 404)", False),
        ("org.apache.hadoop.fs.s3a.auth.NoAuthWithAWSException: No AWS Credentials provided", False),
        ("java.io.IOException: No space left on device", False),
        ("java.lang.OutOfMemoryError: Java heap space", False),
        ("java.io.EOFException: Unexpected end of input stream", False),
    ],
)
def test_of_what_spark_raises_only_services_connections_and_lost_processes_pass(
    frame: str, cause: str, passes: bool
) -> None:
    assert is_transient(Py4JError(frame.format(cause))) == passes


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Py4JNetworkError("Error while sending or receiving"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), True),
        (Py4JError("An error occurred while calling o42.parquet"), True),
        (Py4JError("An error occurred while calling o42.nothing. Trace:\npy4j.Py4JException: no method"), False),
        (AnalysisException("[UNRESOLVED_COLUMN] price"), False),
    ],
)
def test_a_jvm_that_is_lost_can_be_had_anew_and_an_error_in_it_stays(error: Exception, passes: bool) -> None:
    assert is_transient(error) == passes


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (EndpointConnectionError(endpoint_url="http://emr"), True),
        (CredentialRetrievalError(provider="iam-role", error_msg="timed out"), True),
        (NoCredentialsError(), False),
        (TimeoutError(), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (FileNotFoundError(), False),
        (AuditError("rows are missing"), False),
        (StaleAttemptError("a newer attempt"), False),
        (KeyError("symbol"), False),
        (ValueError("Status Code: 503"), False),
    ],
)
def test_outages_pass_and_data_disks_and_programs_do_not_change(error: Exception, passes: bool) -> None:
    assert is_transient(error) == passes


def test_an_error_is_what_it_was_raised_from() -> None:
    error = NoClusterError("the cluster cannot be used")
    assert not is_transient(error)

    error.__cause__ = EndpointConnectionError(endpoint_url="http://emr")

    assert is_transient(error)
