"""The base of all errors that are expected: the message says what, where and what to do.

The command line prints it without a stack and exits with 1. ``spark_code``, which knows nothing of this
package, has expected errors of its own.
"""


class ExpectedError(Exception):
    """Something that a person can mend, told in one sentence."""
