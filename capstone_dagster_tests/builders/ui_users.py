"""Users for the sign-in, and hashes of passwords that take no time to check."""

import hashlib
from base64 import b64encode
from pathlib import Path

from capstone_dagster.ui.users import Account, change_user


def quick_hash(password: str) -> str:
    """A hash as the file of users may hold it, made with as little work as scrypt can do."""
    made = hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=1, p=1, dklen=32)
    return f"scrypt$2$1$1${b64encode(b'salt').decode()}${b64encode(made).decode()}"


def put_user(file: Path, name: str, account: Account | None) -> None:
    """Write a user into the file; None removes the user."""
    change_user(file, name, lambda _: account)
