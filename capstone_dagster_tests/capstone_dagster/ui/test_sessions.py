"""Cookies of those who have signed in: which are trusted, and for how long."""

import threading
from pathlib import Path

import pytest

from capstone_dagster.ui.private_files import PrivateFileError
from capstone_dagster.ui.sessions import Session, Sessions, secret_of
from capstone_dagster.ui.users import Account

SECRET, HASH = b"s" * 32, "scrypt$16$1$1$YQ==$YQ=="
ANNA = Account(role="operator", password=HASH)
ACCOUNTS = {"anna": ANNA, "ben": ANNA, "robot": Account(role="operator")}


def _cookie(seconds: float = 60, secret: bytes = SECRET) -> str:
    return Sessions(secret, seconds).cookie("anna", HASH)


def test_a_cookie_says_whose_it_is_until_its_time_is_over() -> None:
    sessions = Sessions(SECRET, 60)

    assert sessions.read(_cookie(), ACCOUNTS) == Session("anna", is_over=False)
    assert sessions.read(_cookie(seconds=-1), ACCOUNTS) == Session("anna", is_over=True)


FORGED = {
    "nothing": "",
    "no cookie of ours": "anna",
    "the name of another": _cookie().replace("anna", "ben"),
    "another end": "~".join([_cookie().split("~")[0], "99999999999", _cookie().split("~")[2]]),
    "no signature": "~".join([*_cookie().split("~")[:2], ""]),
    "a signature that is no hex": "~".join([*_cookie().split("~")[:2], "\u00e9"]),
    "one part more": f"{_cookie()}~",
    "signed elsewhere": _cookie(secret=b"t" * 32),
    "of one who has no password": "robot~99999999999~",
    "of nobody": Sessions(SECRET, 60).cookie("eve", HASH),
}


@pytest.mark.parametrize("cookie", FORGED.values(), ids=FORGED)
def test_a_forged_cookie_is_nobodys(cookie: str) -> None:
    assert Sessions(SECRET, 60).read(cookie, ACCOUNTS) is None


def test_a_new_password_and_the_removal_of_the_user_end_the_session() -> None:
    changed = ANNA.model_copy(update={"password": "scrypt$16$1$1$Yg==$Yg=="})

    assert Sessions(SECRET, 60).read(_cookie(), {"anna": changed}) is None
    assert Sessions(SECRET, 60).read(_cookie(), {}) is None


def test_all_who_need_the_secret_first_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    begin, secrets = threading.Barrier(8), []

    def need() -> None:
        begin.wait()
        secrets.append(secret_of(tmp_path))

    threads = [threading.Thread(target=need) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(secrets) == 8
    assert len({*secrets}) == 1
    assert len(secrets[0]) == 32
    assert [(each.name, each.stat().st_mode & 0o777) for each in tmp_path.iterdir()] == [("ui_secret", 0o600)]


def test_a_secret_that_others_can_read_or_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    secret_of(tmp_path)
    (tmp_path / "ui_secret").chmod(0o640)
    with pytest.raises(PrivateFileError, match="other users have access"):
        secret_of(tmp_path)

    (tmp_path / "ui_secret").chmod(0o600)
    (tmp_path / "ui_secret").write_bytes(b"")
    with pytest.raises(PrivateFileError, match="ui_secret is damaged; remove it; everyone then has to sign in again"):
        secret_of(tmp_path)
