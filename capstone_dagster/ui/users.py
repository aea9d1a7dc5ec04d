"""Who may sign in to the UI: the file of CAPSTONE_UI_USERS, with roles and with hashes of passwords and tokens.

``capstone ui-user`` writes it. Who has signed in is in ``sessions``, and what a role may do in ``webserver``.
"""

import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from capstone_dagster.ui.private_files import WRITABLE, PrivateFileError, is_there, read_private, write_private
from spark_code.file_lock import locked

Role = Literal["viewer", "operator"]

# 32 MiB and a fraction of a second for every try; a stored hash says with which of them it was made.
_N, _R, _P, _MOST_MEMORY = 2**15, 8, 3, 128 << 20
_SCRYPT_HASH = r"^scrypt\$\d{1,7}(\$\d{1,2}){2}(\$[A-Za-z0-9+/]+=*){2}$"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")]


class User(NamedTuple):
    """Who sends a request."""

    name: str
    role: Role


def _can_be_checked(stored: str) -> str:
    """Refuse what scrypt would refuse when somebody signs in."""
    numbers = stored.split("$")
    n, r, p = map(int, numbers[1:4])
    if n < 2 or n.bit_count() > 1 or not r or not p or n >= 1 << 16 * r or 128 * r * (n + p + 2) > _MOST_MEMORY:
        raise ValueError("no parameters of scrypt")
    for encoded in numbers[4:]:
        b64decode(encoded, validate=True)
    return stored


_PasswordHash = Annotated[str, Field(pattern=_SCRYPT_HASH), AfterValidator(_can_be_checked)]


class Account(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """What the file says of a user."""

    role: Role
    password: _PasswordHash | None = None
    token: str | None = Field(default=None, pattern=r"^sha256\$[0-9a-f]{64}$")


Accounts = Mapping[str, Account]
_FILE: TypeAdapter[dict[str, Account]] = TypeAdapter(dict[Name, Account])


class Users:
    """The users of a file, which is read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: object = None
        self._accounts: Accounts = {}
        self._names: Mapping[str, str] = {}

    def accounts(self) -> Accounts:
        """Everybody by name; an error if the file cannot be trusted or read any more."""
        try:
            found = self._file.stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._accounts, self._seen = read_users(self._file), seen
            self._names = {account.token: name for name, account in self._accounts.items() if account.token}
        return self._accounts

    def with_token(self, token: str) -> str | None:
        """The name of the user whose token this is."""
        self.accounts()
        return self._names.get(hash_of_token(token))


def read_users(file: Path) -> dict[str, Account]:
    """Everybody in the file."""
    if not is_there(file):
        raise PrivateFileError(
            f"CAPSTONE_UI_USERS: {file} does not exist; create it with: capstone ui-user NAME --role operator"
        )
    try:
        return _FILE.validate_json(read_private(file, WRITABLE))
    except ValidationError as error:
        where = ".".join(f"{part}" for part in error.errors()[0]["loc"][:2])
        wrong = f"the entry {where!a}" if where else "it"
        raise PrivateFileError(
            f"CAPSTONE_UI_USERS: {file} is not a valid users file: {wrong} is not in the format that capstone ui-user "
            "writes; repair it, or remove it and add the users again"
        ) from None


def known_user(file: Path, name: str) -> Account | None:
    """The user of this name; the file need not exist."""
    return _users_so_far(file).get(name)


def change_user(file: Path, name: str, change: Callable[[Account | None], Account | None]) -> None:
    """Replace a user, or nobody, by what the function makes of the account; None removes the user."""
    try:
        with locked(file):
            users = _users_so_far(file)
            account = change(users.pop(name, None))
            changed = users | ({name: account} if account else {})
            write_private(file, _FILE.dump_json(changed, indent=2, exclude_none=True))
    except OSError as error:
        raise PrivateFileError(f"{file} cannot be written: {error.strerror}") from None


def _users_so_far(file: Path) -> dict[str, Account]:
    return read_users(file) if is_there(file) else {}


def hash_of_password(password: str) -> str:
    """The password's hash, with what is needed to make it again."""
    salt = os.urandom(16)
    made = _scrypt(password, salt, _N, _R, _P)
    return f"scrypt${_N}${_R}${_P}${b64encode(salt).decode()}${b64encode(made).decode()}"


def is_password(password: str, stored: str | None) -> bool:
    """Whether the password has this hash. None takes as long, so that the time does not tell which names there are."""
    if stored is None:
        _scrypt(password, bytes(16), _N, _R, _P)
        return False
    _, n, r, p, salt, expected = stored.split("$")
    return hmac.compare_digest(_scrypt(password, b64decode(salt), int(n), int(r), int(p)), b64decode(expected))


def new_token() -> str:
    """A token that nobody can guess, so that a quick hash is enough."""
    return secrets.token_urlsafe(32)


def hash_of_token(token: str) -> str:
    """What is kept of a token."""
    return f"sha256${hashlib.sha256(token.encode()).hexdigest()}"


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)
