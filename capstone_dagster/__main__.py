"""Where the command ``capstone`` begins; all of it is in ``cli``."""

import signal


def main() -> None:
    """Load the command line, which takes a second, and run it."""
    is_heard = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the loading without a stack
    from capstone_dagster import cli

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    main()
