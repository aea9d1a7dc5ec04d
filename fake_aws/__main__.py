"""``python -m fake_aws``: runs S3 and EMR on this machine until you stop it, for demos and for other processes.

When both answer, it prints the variables that direct AWS's libraries here, and writes them into a file if you name one.
SIGTERM, SIGINT and SIGHUP stop it, and so does the end of its standard input if that is a pipe. It leaves no process.
"""

import argparse
import os
import shlex
import signal
import stat
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from fake_aws.emr import FakeEmr
from fake_aws.emr_image import CREDENTIALS, REGION
from fake_aws.machines import MachineOptions
from fake_aws.s3_server import s3_server


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both servers until they are stopped."""
    parser = argparse.ArgumentParser(prog="python -m fake_aws", description="Run S3 and EMR on this machine.")
    parser.add_argument("--s3-port", type=int, default=0, help="port of S3 (default: any free port)")
    parser.add_argument("--emr-port", type=int, default=0, help="port of EMR (default: any free port)")
    parser.add_argument("--local-master", default="local[2]", help="Spark master to use for yarn (%(default)s)")
    parser.add_argument(
        "--workers", type=_number_of_workers, default=0, help="Spark workers of each cluster, instead of a local master"
    )
    parser.add_argument(
        "--bootstrap", action="store_true", help="really run bootstrap actions: on this machine, as the user you are"
    )
    parser.add_argument("--env-file", type=Path, help="also write the variables into this file")
    options = parser.parse_args(arguments)
    try:
        _serve(options, _end())
    except OSError as error:  # the port is taken, or the file cannot be written
        parser.exit(1, f"{parser.prog}: {error}\n")


def _serve(options: argparse.Namespace, end: int) -> None:
    machines = MachineOptions(options.local_master, options.workers, options.bootstrap)
    with (
        s3_server(options.s3_port) as s3_endpoint,
        FakeEmr(s3_endpoint=s3_endpoint, machines=machines, port=options.emr_port) as emr,
    ):
        variables = _variables(s3_endpoint, emr.endpoint)
        lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        if options.env_file:
            _write_whole(options.env_file, lines)
        sys.stdout.write(lines)
        sys.stdout.flush()
        os.read(end, 1)


def _number_of_workers(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers")
    return int(text)


def _variables(s3_endpoint: str, emr_endpoint: str) -> dict[str, str]:
    """The variables, with those that keep a profile of the host from reaching AWS."""
    return {
        **CREDENTIALS,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ENDPOINT_URL_EMR": emr_endpoint,
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _write_whole(file: Path, text: str) -> None:
    """Write the file atomically, for processes that wait for it."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.write_text(text)
    unfinished.replace(file)


def _end() -> int:
    """A pipe that can be read once this process is asked to end: any lock could be held when a signal comes."""
    end, ask = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(ask, b"\n"))
    # The input of a shell's background job is empty from the start, so its end means nothing.
    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):

        def wait_for_end() -> None:
            while os.read(sys.stdin.fileno(), 4096):
                pass
            os.write(ask, b"\n")

        threading.Thread(target=wait_for_end, daemon=True).start()
    return end


if __name__ == "__main__":
    main()
