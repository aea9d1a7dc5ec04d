"""A Postgres of one's own over TCP, whose roles need a password, as CAPSTONE_POSTGRES_URL names it."""

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from psycopg2 import connect

from capstone_dagster.run_storage.postgres_data import DataFolder
from capstone_dagster.run_storage.postgres_programs import environment, let_user_in, server_user, start
from capstone_dagster_tests.servers.dagster_services import unused_port


@contextmanager
def password_postgres(password: str) -> Iterator[int]:
    """The port of a server with the database market, which belongs to the role trader."""
    number = unused_port()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "lock").open("w") as lock:
        data, user = Path(folder) / "data", server_user()
        if user:
            let_user_in(user, Path(folder))
        DataFolder(data, Path(folder) / "initdb.log", user).make_anew(lock.fileno())
        (data / "pg_hba.conf").write_text("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        options = f"-c listen_addresses=127.0.0.1 -p {number} -k {shlex.quote(str(data))}"

        def control(*arguments: str) -> None:
            assert start("pg_ctl", list(arguments), user, env=environment(PGDATA=str(data)), cwd=data).wait() == 0

        control("start", "-w", "-l", "server.log", "-o", options)
        try:
            with closing(connect(f"postgresql://postgres@:{number}/postgres?host={data}")) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                cursor.execute("CREATE ROLE trader LOGIN PASSWORD %s", (password,))
                cursor.execute("CREATE DATABASE market OWNER trader")
                # As the first user of RDS may do.
                cursor.execute("CREATE ROLE owner LOGIN CREATEROLE PASSWORD %s", (password,))
            yield number
        finally:
            control("stop", "-w", "-m", "fast")
