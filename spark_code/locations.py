"""Locations of objects: a local path, ``file://`` or ``s3://bucket/prefix``, and how to reach S3.

``storage`` reads and writes the objects.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from spark_code.errors import ExpectedError

if TYPE_CHECKING:
    from obstore.store import RetryConfig

_DEFAULT_REGION = "us-east-1"
# How long to repeat a request that breaks, or for which S3 is too busy. Callers that can wait longer try again later.
_PATIENCE: "RetryConfig" = {"retry_timeout": timedelta(seconds=30)}


class StorageError(ExpectedError):
    """A location cannot be used; the message says why."""


def shown(text: str) -> str:
    """Make text that contains file names safe to print, as one line: unprintable characters are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def location(uri: str) -> str:
    """Normalise a URI or path: ``s3://bucket/prefix`` stays, anything local becomes an absolute path."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise StorageError(f"{uri!r} names no bucket; write s3://bucket/prefix")
        # Not joined from the parts: in a key, # and ? have no special meaning.
        return "s3" + uri[2:].rstrip("/")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise StorageError(f"{uri!r} names another machine; write file:///path")
        return _local(Path(uri[len("file:") :].removeprefix(f"//{parts.netloc}")))  # as written: # and ? also here
    if "://" in uri:
        raise StorageError(f"{uri!r} is neither a local path, file:// nor s3://")
    if not uri:
        raise StorageError("an empty location; give a local path or s3://bucket/prefix")
    return _local(Path(uri).expanduser())


def _local(path: Path) -> str:
    try:
        resolved = path.resolve()
        blocking = next((above for above in (resolved, *resolved.parents) if above.is_file()), None)
    except (OSError, RuntimeError) as error:  # the latter for links that point to themselves
        raise StorageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if blocking:
        raise StorageError(f"{blocking} is a file, not a folder")
    return str(resolved)


def leads_out(root: str, key: str) -> bool:
    """Whether a link leads from a file or folder below a local root to a place outside of it."""
    return not Path(root, key).resolve().is_relative_to(root)


def s3_endpoint() -> str | None:
    """The server to use instead of AWS's own, from the variables that boto3 knows."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def s3_region() -> str:
    """The region that boto3 finds."""
    import boto3  # noqa: PLC0415 - takes 0.13 s, for those who have S3

    return boto3.Session().region_name or _DEFAULT_REGION


def s3_environment() -> dict[str, str]:
    """What the tasks of a cluster need to reach the same S3, beside credentials, which every node has of its own."""
    endpoint = s3_endpoint()
    return {"AWS_DEFAULT_REGION": s3_region(), **({"AWS_ENDPOINT_URL_S3": endpoint} if endpoint else {})}


def s3_store(root: str) -> S3Store:
    """A store with the credentials, region and endpoint of boto3: profiles, instance roles, AWS_* variables."""
    import boto3  # noqa: PLC0415 - the same
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - the same

    session = boto3.Session()
    endpoint = s3_endpoint()
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    if session.get_credentials() is None:
        raise StorageError(
            f"{root}: no AWS credentials were found; set AWS_PROFILE or AWS_ACCESS_KEY_ID and its secret"
        )
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={"endpoint": endpoint} if endpoint else None,
        client_options={"allow_http": (endpoint or "").startswith("http://")},
        credential_provider=Boto3CredentialProvider(session),
        region=session.region_name or _DEFAULT_REGION,
        retry_config=_PATIENCE,
    )


def names_with_odd_ones(root: str, prefix: str) -> tuple[list[str], list[str]]:
    """The names of folders and objects directly below a folder on S3, also those that a store cannot spell."""
    import boto3  # noqa: PLC0415 - the same

    bucket, _, above = root.removeprefix("s3://").partition("/")
    below = "/".join([*filter(None, [above, prefix]), ""])
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below, Delimiter="/")
    folders, objects = [], []
    for page in pages:
        folders += [listed["Prefix"].removeprefix(below)[:-1] for listed in page.get("CommonPrefixes", ())]
        objects += [listed["Key"].removeprefix(below) for listed in page.get("Contents", ()) if listed["Key"] != below]
    return sorted(folders), sorted(objects)
