"""What the fake EMR answers to a request that EMR would refuse."""


class EmrError(Exception):
    """A refusal as the caller sees it: EMR's code, a message, and the status of the answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid_value(message: str) -> EmrError:
    """How operations on job flows refuse."""
    return EmrError("ValidationException", message)


def invalid_request(message: str) -> EmrError:
    """How operations on clusters and steps refuse."""
    return EmrError("InvalidRequestException", message)
