"""A stored object as a file to read and to seek in, for those who want only a part of it."""

import io
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

if TYPE_CHECKING:
    from obstore import ReadableFile


class ObjectFile(io.RawIOBase):
    """Fetches what is asked for, wherever it lies. What the store complains about is an OSError, as of any file."""

    def __init__(self, remote: "ReadableFile") -> None:
        super().__init__()
        self._remote = remote

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """And from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        return self._remote.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._remote.tell()

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of typeshed's wider type
        """Fill a buffer, or as much of it as is left."""
        try:
            content = bytes(self._remote.read(len(buffer)))
        except BaseError as error:
            raise OSError(str(error)) from error
        buffer[: len(content)] = content
        return len(content)
