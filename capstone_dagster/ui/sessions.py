"""Who has signed in: a cookie that this platform has signed, so that nothing has to be remembered of it.

It ends after its time, with a new password, and when its user is removed. ``sign_in`` sets it and asks for it.
"""

import hashlib
import hmac
import os
import time
from pathlib import Path
from typing import NamedTuple

from capstone_dagster.ui.private_files import OPEN, PrivateFileError, is_there, read_private, write_private
from capstone_dagster.ui.users import Accounts

_BYTES = 32
_SEPARATOR = "~"  # in no name


class Session(NamedTuple):
    """A cookie of ours: whose it is, and whether its time is over."""

    name: str
    is_over: bool


def secret_of(home: Path) -> bytes:
    """The secret of this home; whoever needs it first makes it."""
    file = home / "ui_secret"
    if not is_there(file):
        write_private(file, os.urandom(_BYTES), once=True)
    secret = read_private(file, OPEN)
    if len(secret) != _BYTES:
        raise PrivateFileError(f"{file} is damaged; remove it; everyone then has to sign in again")
    return secret


class Sessions:
    """Signs cookies and reads them."""

    def __init__(self, secret: bytes, seconds: float) -> None:
        self._secret, self._seconds = secret, seconds
        # Browsers send a cookie to all ports of a host: each home has its own.
        self.cookie_name = f"capstone_session_{hashlib.sha256(secret).hexdigest()[:8]}"

    def cookie(self, name: str, password_hash: str) -> str:
        """A cookie for one who has just signed in."""
        ends = f"{time.time() + self._seconds:.0f}"
        return _SEPARATOR.join([name, ends, self._signature(name, ends, password_hash)])

    def read(self, cookie: str, accounts: Accounts) -> Session | None:
        """Whose cookie it is; None if we have not signed it, or not for the password that the user has now."""
        parts = cookie.split(_SEPARATOR)
        account = accounts.get(parts[0])
        if len(parts) != 3 or account is None or account.password is None:
            return None
        name, ends, signature = parts
        expected = self._signature(name, ends, account.password)
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            return None
        return Session(name, int(ends) <= time.time())

    def _signature(self, *signed: str) -> str:
        return hmac.new(self._secret, "\0".join(signed).encode(), hashlib.sha256).hexdigest()
