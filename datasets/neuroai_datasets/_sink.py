"""A file for HDF5 to write into that fails afterwards, not while HDF5 has data to flush."""

import io
import os
from pathlib import Path


class Sink(io.RawIOBase):
    """A new file that keeps its first failure to itself until asked.

    HDF5 that cannot flush its buffers cannot close its file either, and ends the process when the interpreter
    does. So after a failure (a full disk, a quota) this file only pretends to take what comes: HDF5 closes
    in peace, and :meth:`check` raises what happened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file = path.open("w+b", buffering=0)
        self._failed: tuple[int | None, str | None] | None = None

    def check(self) -> None:
        """Raise the failure, if there was one.

        Raises
        ------
        OSError
        """
        if self._failed is not None:
            raise OSError(*self._failed, str(self._path))

    def readable(self) -> bool:
        """HDF5 reads back what it wrote."""
        return True

    def writable(self) -> bool:
        """It takes data."""
        return True

    def seekable(self) -> bool:
        """It has a position."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill the buffer; after a failure with whatever is there."""
        return self._file.readinto(buffer) or 0

    def write(self, data: "memoryview") -> int:  # type: ignore[override]
        """Write all of it, or note the failure and skip it."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while self._failed is None and left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._failed = (error.errno, error.strerror)
        if left:
            self._file.seek(len(left), os.SEEK_CUR)
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._file.seek(offset, whence)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._failed = self._failed or (error.errno, error.strerror)
            return self._file.tell() if size is None else size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
