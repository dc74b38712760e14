"""Zip archives: members judged by their declared sizes and names before anything is unpacked."""

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from neuroai_datasets.errors import DamagedFileError, UnsafeFileError

RATIO = 200
ALLOWANCE = 64 << 20
MAX_MEMBERS = 200_000


class SafeZip:
    """A zip archive that was examined: ``names`` and ``read(name)``.

    It is opened once a process, so it may cross a fork.
    """

    def __init__(self, path: str | Path, max_bytes: int | None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DamagedFileError(f"{self.path}: no such file")
        self._sizes: dict[str, int] = {}
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = archive.infolist()
        except (
            Exception
        ) as error:  # zipfile raises BadZipFile, OSError, NotImplementedError, struct.error, ...
            raise DamagedFileError(f"{self.path}: not a readable zip archive ({error})") from None
        self._examine(members, max_bytes)
        self.names = list(self._sizes)

    def _examine(self, members: list[zipfile.ZipInfo], max_bytes: int | None) -> None:
        if len(members) > MAX_MEMBERS:
            raise UnsafeFileError(f"{self.path}: {len(members)} members, more than {MAX_MEMBERS}")
        size = self.path.stat().st_size
        budget = max_bytes or RATIO * size + ALLOWANCE
        folded: set[str] = set()
        for member in members:
            self._check_name(member)
            if member.filename.endswith("/"):
                continue
            if member.filename.casefold() in folded:
                raise UnsafeFileError(f"{self.path}: {member.filename!r} occurs twice (letter case ignored)")
            folded.add(member.filename.casefold())
            self._sizes[member.filename] = member.file_size
        total = sum(self._sizes.values())
        if total > budget:
            raise UnsafeFileError(
                f"{self.path}: declares {total} bytes in {size} stored, more than {budget}: give "
                f"max_bytes={total} "
                "if it is meant to"
            )

    def _check_name(self, member: zipfile.ZipInfo) -> None:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if not name.parts or name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise UnsafeFileError(f"{self.path}: member {member.filename!r} points outside the archive")
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeFileError(f"{self.path}: member {member.filename!r} is a link or a device")

    def _archive(self) -> zipfile.ZipFile:
        """The archive, opened once a process: parsing the directory for every member is quadratic."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def read(self, name: str) -> bytes:
        """The bytes of one member, at most as many as it declares, its CRC-32 checked."""
        if name not in self._sizes:
            raise DamagedFileError(f"{self.path}: no member {name!r}")
        declared = self._sizes[name]
        try:
            with self._archive().open(name) as stream:
                data = stream.read(declared + 1)
        except Exception as error:  # zlib.error, BadZipFile, EOFError, NotImplementedError, RuntimeError, ...
            raise DamagedFileError(f"{self.path}: {name}: cannot be unpacked ({error})") from None
        if len(data) != declared:
            raise DamagedFileError(f"{self.path}: {name}: {len(data)} bytes unpacked, {declared} declared")
        return data


def open_zip(path: str | Path, *, max_bytes: int | None = None) -> SafeZip:
    """Examine a zip archive.

    Parameters
    ----------
    path : path
        The archive.
    max_bytes : int, optional
        Largest logical size of all members; default 200 x stored + 64 MiB.

    Returns
    -------
    SafeZip

    Raises
    ------
    DamagedFileError
        When its directory cannot be read.
    UnsafeFileError
        For names that point outside, links, repeated names, bombs.
    """
    return SafeZip(path, max_bytes)
