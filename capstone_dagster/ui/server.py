"""Dagster's webserver behind ``ui.request_guard``; `make dev` and the host in AWS start it.

capstone exec -- python -m capstone_dagster.ui.server --workspace workspace.yaml
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import click
import dagster as dg
import uvicorn
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster._utils.log import configure_loggers
from dagster_webserver.version import __version__
from starlette.applications import Starlette
from starlette.types import ASGIApp

from capstone_dagster.settings import Settings
from capstone_dagster.ui.asset_backfills import keep_to_what_is_chosen
from capstone_dagster.ui.audit import Audit
from capstone_dagster.ui.backfill_page import show_each_day
from capstone_dagster.ui.proxy import Proxy
from capstone_dagster.ui.request_guard import RequestGuard, allowed_hosts, require_sign_in
from capstone_dagster.ui.sign_in import SignIn
from capstone_dagster.ui.webserver import UserWebserver, UserWorkspace
from capstone_dagster.wording import printable
from spark_code.errors import ExpectedError

# Dagster's own values: how often the pages poll, and the timeouts of the database, so that no request waits for ever.
_POLL_MILLISECONDS = 2_000
_STATEMENT_MILLISECONDS, _RECYCLE_SECONDS, _MAX_CONNECTIONS = 15_000, 3_600, 20
# How long open pages may keep the server from ending.
_SHUTDOWN_SECONDS = 5


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=int, default=3000, show_default=True, help="The port to listen on.")
@click.option("--workspace", default="workspace.yaml", show_default=True, help="The file that names the code location.")
def main(host: str, port: int, workspace: str) -> None:
    """Serve the Dagster UI under the host names of CAPSTONE_UI_HOSTS, to the users of CAPSTONE_UI_USERS."""
    try:
        _serve(Settings.from_environment(), host, port, workspace)
    except ExpectedError as error:
        raise click.ClickException(printable(f"{error}")) from None


def _serve(settings: Settings, host: str, port: int, workspace: str) -> None:
    require_sign_in(settings, host)
    configure_loggers()
    setup_interrupt_handlers()  # SIGTERM ends the server as Ctrl-C does
    show_each_day()
    keep_to_what_is_chosen()
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_MILLISECONDS, _RECYCLE_SECONDS, _MAX_CONNECTIONS)
        target = WorkspaceFileTarget([workspace])
        with UserWorkspace(instance, target, version=__version__) as context:
            named = f"[{host}]" if ":" in host else host
            config = uvicorn.Config(
                RequestGuard(_behind_sign_in(context, settings), allowed_hosts(settings, named)),
                host=host,
                port=port,
                log_level="warning",
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
                proxy_headers=False,  # or everybody on this machine could claim another address
            )
            listening = config.bind_socket()  # if the port is taken, this fails before the next line is printed
            click.echo(f"The UI is served on http://{named}:{port}")
            with suppress(KeyboardInterrupt):  # raised once more by uvicorn when it has ended
                uvicorn.Server(config).run(sockets=[listening])


def _behind_sign_in(context: UserWorkspace, settings: Settings) -> ASGIApp:
    audit, proxy = Audit(settings.log_dir), Proxy(settings)
    dagsters = UserWebserver(context, _POLL_MILLISECONDS, audit, proxy).create_asgi_app(lifespan=_lifespan)
    return SignIn(dagsters, settings, audit, proxy) if settings.ui_users or settings.ui_proxy else dagsters


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    del app
    with suppress(asyncio.CancelledError):  # uvicorn raises it on Ctrl-C
        yield


if __name__ == "__main__":
    main()
