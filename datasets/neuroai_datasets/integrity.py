r"""Checksums that travel inside the file they protect.

Layout of a sealed file::

    payload                      n bytes, a plain HDF5 file
    manifest                     SHA-256 of each 4 MiB block of the payload, 32 bytes each
    footer, 64 bytes             SHA-256 of (manifest, n, block size); n; block size; number of blocks; magic

The footer comes last because HDF5 ignores what follows its own end: every HDF5 and netCDF tool still reads
the file, and no sidecar can be lost when the file is copied or renamed. A tool that *writes* into the file
breaks the seal, as it should.
"""

import hashlib
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroai_datasets.errors import DamagedFileError

BLOCK = 4 << 20
MAGIC = b"NEUROAI\x01"
_NUMBERS = struct.Struct("<QQQ")
FOOTER = 32 + _NUMBERS.size + len(MAGIC)


def seal(path: str | Path) -> None:
    """Append the manifest and footer to a finished file and flush it to disk.

    Parameters
    ----------
    path : path
        A complete, closed file.

    Notes
    -----
    Reads the file once; O(block) memory; 32 bytes a 4 MiB block are added.
    """
    with Path(path).open("r+b") as stream:
        digests, size = bytearray(), 0
        while block := stream.read(BLOCK):
            digests += hashlib.sha256(block).digest()
            size += len(block)
        numbers = _NUMBERS.pack(size, BLOCK, len(digests) // 32)
        stream.write(digests + hashlib.sha256(bytes(digests) + numbers).digest() + numbers + MAGIC)
        stream.flush()
        os.fsync(stream.fileno())


def is_sealed(path: str | Path) -> bool:
    """Whether a file ends in a footer of ours (its checksums are not verified here)."""
    file = Path(path)
    if not file.is_file() or file.stat().st_size < FOOTER:
        return False
    with file.open("rb") as stream:
        stream.seek(-len(MAGIC), os.SEEK_END)
        return stream.read() == MAGIC


class VerifiedFile(io.RawIOBase):
    """Read-only view of a sealed file's payload; a block is verified the first time any of it is read.

    Parameters
    ----------
    path : path
        A sealed file.
    on_read : callable (offset, n), optional
        Told of each read from disk.

    Attributes
    ----------
    size : int
        Bytes of payload.
    failure : str or None
        The last damage met while reading.

    Raises
    ------
    DamagedFileError
        At once when the size, the footer or the manifest is wrong; on reading when a block is.

    Notes
    -----
    A read costs at most the 4 MiB blocks it touches. Reads use ``pread``: processes forked from this one, and
    threads, may share the view. Unpickling opens the file anew. Blocks verified once are not verified again.
    """

    def __init__(self, path: str | Path, on_read: Callable[[int, int], None] | None = None) -> None:
        super().__init__()
        self.path = Path(path)
        self._position = 0
        self.failure: str | None = None
        self._on_read = on_read
        if not self.path.is_file():
            raise DamagedFileError(f"{self.path}: no such file")
        self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            self.size, self._digests = self._manifest()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._verified = bytearray(len(self._digests))
        self._cache: tuple[int, bytes] = (-1, b"")

    def _manifest(self) -> tuple[int, list[bytes]]:
        total = os.fstat(self._descriptor).st_size
        footer = os.pread(self._descriptor, FOOTER, max(0, total - FOOTER))
        if len(footer) < FOOTER or not footer.endswith(MAGIC):
            raise DamagedFileError(
                f"{self.path}: {total} bytes without our checksums at the end: cut off, changed by another "
                "program, or "
                "not written by Recording.save"
            )
        numbers = footer[32 : 32 + _NUMBERS.size]
        size, block, count = _NUMBERS.unpack(numbers)
        if block != BLOCK or count != -(-size // BLOCK) or size + 32 * count + FOOTER != total:
            raise DamagedFileError(
                f"{self.path}: {total} bytes, but its footer declares {size} in {count} blocks of {block}: "
                "damaged"
            )
        manifest = os.pread(self._descriptor, 32 * count, size)
        if hashlib.sha256(manifest + numbers).digest() != footer[:32]:
            raise DamagedFileError(
                f"{self.path}: the list of checksums does not match its own checksum: damaged"
            )
        return size, [manifest[i : i + 32] for i in range(0, len(manifest), 32)]

    def verify(self, progress: Callable[[str, int, int], None] | None = None) -> None:
        """Verify every block."""
        for index in range(len(self._digests)):
            self._block(index)
            if progress is not None:
                progress("verify", index + 1, len(self._digests))

    def _block(self, index: int) -> bytes:
        if self._cache[0] == index:
            return self._cache[1]
        offset = index * BLOCK
        n = min(BLOCK, self.size - offset)
        data = os.pread(self._descriptor, n, offset)
        if self._on_read is not None:
            self._on_read(offset, n)
        if hashlib.sha256(data).digest() != self._digests[index]:
            # The text is kept, because HDF5 swallows what is raised while it reads.
            self.failure = (
                f"{self.path}: bytes {offset} to {offset + n} do not match their SHA-256: the file was "
                "damaged or changed since it was written. Fetch or make it again"
            )
            raise DamagedFileError(self.failure)
        self._verified[index] = 1
        self._cache = (index, data)
        return data

    def _span(self, start: int, stop: int) -> bytes:
        """Payload bytes, from verified blocks read whole the first time, exactly afterwards."""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        if self._cache[0] != first and all(self._verified[first : last + 1]):
            if self._on_read is not None:
                self._on_read(start, stop - start)
            return os.pread(self._descriptor, stop - start, start)
        parts = [self._block(i) for i in range(first, last + 1)]
        joined = parts[0] if len(parts) == 1 else b"".join(parts)
        return joined[start - first * BLOCK : stop - first * BLOCK]

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current position."""
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self.size)
        if stop <= self._position:
            return 0
        data = self._span(self._position, stop)
        view[: len(data)] = data
        self._position = stop
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the payload."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Current position."""
        return self._position

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Release the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (VerifiedFile, (self.path,))


def verify(path: str | Path, progress: Callable[[str, int, int], None] | None = None) -> int:
    """Verify a whole sealed file.

    Parameters
    ----------
    path : path
        The file.
    progress : callable, optional
        ``progress("verify", done, total)`` in blocks.

    Returns
    -------
    int
        Bytes of payload verified.

    Raises
    ------
    DamagedFileError
        At the first damaged block.
    """
    with VerifiedFile(path) as stream:
        stream.verify(progress)
        return stream.size


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a whole file, hexadecimal, read in blocks.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "a")
    ...     _ = file.write_bytes(b"")
    ...     sha256_file(file)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
