"""The fake EMR's answers to requests that EMR would refuse."""


class EmrError(Exception):
    """A refusal as the caller sees it: EMR's code, a message, and the status of the answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid_value(message: str) -> EmrError:
    """The refusal of operations on job flows."""
    return EmrError("ValidationException", message)


def invalid_request(message: str) -> EmrError:
    """The refusal of operations on clusters and steps."""
    return EmrError("InvalidRequestException", message)
