"""Hashes of passwords that take no time to check."""

import hashlib
from base64 import b64encode


def quick_hash(password: str) -> str:
    """A hash as the file of users may hold it, made with as little work as scrypt can do."""
    made = hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=1, p=1, dklen=32)
    return f"scrypt$2$1$1${b64encode(b'salt').decode()}${b64encode(made).decode()}"
