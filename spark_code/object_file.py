"""A stored object as a seekable file, for readers that need only a part of it."""

import io
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

if TYPE_CHECKING:
    from obstore import ReadableFile


class ObjectFile(io.RawIOBase):
    """Fetches only the parts that are read. Errors of the store become an OSError, as for any file."""

    def __init__(self, remote: "ReadableFile") -> None:
        super().__init__()
        self._remote = remote

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        return self._remote.seek(offset, whence)

    def tell(self) -> int:
        """The current position."""
        return self._remote.tell()

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of typeshed's wider type
        """Fill a buffer, or less at the end of the file."""
        try:
            content = bytes(self._remote.read(len(buffer)))
        except BaseError as error:
            raise OSError(str(error)) from error
        buffer[: len(content)] = content
        return len(content)
