"""Where the command ``capstone`` begins; all of it is in ``cli``."""

import signal


def main() -> None:
    """Load the command line, which takes a second, and run it."""
    is_heard = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the loading without a stack
    from capstone_dagster.cli import main  # noqa: PLC0415 - takes a second, in which Ctrl-C may come

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main.main()


if __name__ == "__main__":
    main()
