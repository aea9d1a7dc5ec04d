"""The base of all expected errors: the message says what was wrong, where, and what to do.

Command lines print it without a stack trace and exit with 1; a step that meets one fails for good.
"""


class ExpectedError(Exception):
    """Something that people can fix; the message is one sentence."""
