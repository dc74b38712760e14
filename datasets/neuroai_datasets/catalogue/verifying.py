"""Whether the files of a data set are those that were published, or those that were fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuroai_datasets.errors import DamagedFileError, DataError

if TYPE_CHECKING:
    from neuroai_datasets.cards import CatalogueCard

MANIFEST = ".neuroai-sha256.json"
"""Checksums noted when a set without published ones was fetched."""

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Verification:
    """What `verify` found: the folder, how many files were compared with a checksum, what is wrong."""

    name: str
    folder: Path
    n_checked: int
    basis: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(name: str, *, progress: Callable[[str, int, int], None] | None = None) -> Verification:
    """Compare the files of a data set with their checksums, sizes, or at least their layout.

    Published checksums of the card are used where there are any, else those noted by `fetch`; a set the
    user placed, for which none are published, is compared with its documented layout.

    Parameters
    ----------
    name : str
        Name in the catalogue, or a path: a file that `Recording.save` wrote is compared with the
        checksums inside it, anything else is opened, which checks units, events and NaN.
    progress : callable, optional
        Called as ``progress(file, done, total)``.

    Returns
    -------
    Verification
        Problems found, one line each; none when all is well.

    Raises
    ------
    CardError
        If there is no such set, nor such a path.
    DatasetUnavailableError
        If it is not on this machine.

    Notes
    -----
    Reads every file once; memory 1 MiB.
    """
    from neuroai_datasets.catalogue import info, list_datasets, require

    if name not in {listing.name for listing in list_datasets()} and Path(name).exists():
        return _verify_path(Path(name), progress)
    card, folder = info(name), require(name)
    if card.files:
        expected: Mapping[str, tuple[str, int]] = {
            path: (entry.sha256, entry.bytes) for path, entry in card.files.items()
        }
        basis = "published checksums"
    elif (folder / MANIFEST).is_file():
        expected, basis = _read_manifest(folder / MANIFEST), "checksums noted when it was fetched"
    else:
        return Verification(name, folder, 0, "layout", tuple(_layout_problems(card, folder)))
    problems = []
    for done, (path, (sha256, n_bytes)) in enumerate(expected.items()):
        if progress is not None:
            progress(path, done, len(expected))
        problem = _compare(folder / path, sha256, n_bytes)
        if problem:
            problems.append(f"{path}: {problem}")
    return Verification(name, folder, len(expected), basis, tuple(problems))


def _verify_path(path: Path, progress: Callable[[str, int, int], None] | None) -> Verification:
    from neuroai_datasets import integrity
    from neuroai_datasets.loading import OWN_SUFFIXES, load

    own = path.is_file() and path.suffix in OWN_SUFFIXES
    basis = "checksums inside it" if own else "opening it"
    try:
        if own:
            integrity.verify(path, progress)
        load(path)
    except DataError as error:
        return Verification(str(path), path, 1, basis, (str(error),))
    return Verification(str(path), path, 1, basis, ())


def write_manifest(folder: Path) -> None:
    """Note the checksum and size of every file below a folder."""
    from neuroai_datasets.catalogue import visible_files

    table = {
        str(path.relative_to(folder).as_posix()): [file_sha256(path), path.stat().st_size]
        for path in visible_files(folder)
    }
    temporary = folder / (MANIFEST + ".part")
    temporary.write_text(json.dumps(table, indent=1, sort_keys=True), encoding="utf-8")
    temporary.replace(folder / MANIFEST)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read_manifest(path: Path) -> dict[str, tuple[str, int]]:
    from neuroai_datasets.recording_card import relative_inside

    try:
        table = json.loads(path.read_text("utf-8"))
        return {relative_inside(name): (str(entry[0]), int(entry[1])) for name, entry in table.items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise DamagedFileError(
            f"{path}: the noted checksums cannot be read ({error}); fetch the set again"
        ) from None


def _compare(path: Path, sha256: str, n_bytes: int) -> str | None:
    try:
        size = path.stat().st_size
        if size != n_bytes:
            return f"{size} bytes, expected {n_bytes}"
        return None if file_sha256(path) == sha256 else "content differs from the published file (SHA-256)"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _layout_problems(card: CatalogueCard, folder: Path) -> list[str]:
    """Look at the names, and open what the reader opens, without reading the big arrays."""
    from neuroai_datasets.readers import get_reader

    if card.reader == "card":
        return []
    reader = get_reader(card.reader)
    if not reader.detect(folder):
        return [f"{folder} does not look like {card.title}; {card.how_to_obtain.strip()}"]
    inspect = getattr(reader, "inspect_layout", None)
    try:
        return list(inspect(folder)) if inspect is not None else []
    except DataError as error:
        return [str(error)]
