"""The base of all expected errors: the message says what was wrong, where, and what to do.

The command line prints it without a stack trace and exits with 1. ``spark_code``, which knows nothing of this package,
has its own expected errors.
"""


class ExpectedError(Exception):
    """Something that people can fix; the message is one sentence."""
