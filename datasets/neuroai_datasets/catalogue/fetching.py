"""Fetch a data set, after its terms were shown and accepted, once however many processes ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from neuroai_datasets.catalogue.verifying import write_manifest
from neuroai_datasets.download import Patience, Progress, download
from neuroai_datasets.errors import DatasetUnavailableError
from neuroai_datasets.locations import cache_folder, is_offline

if TYPE_CHECKING:
    from neuroai_datasets.cards import CatalogueCard

_LOCK_SECONDS = 3600.0


def fetch(
    name: str,
    *,
    accept_licence: bool | str = False,
    ask: Callable[[str], bool] | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> Path:
    """Bring a data set to this machine and return its folder.

    Nothing is transferred before the terms were accepted; acceptance is noted in the cache, so that it
    is asked once a set.  Several processes that fetch the same set transfer it once.

    Parameters
    ----------
    name : str
        Name in the catalogue.
    accept_licence : bool or str
        True, or the licence's name as the card spells it.
    ask : callable, optional
        Shown the terms when they have not been accepted; returns whether the user accepts.
    patience : Patience, optional
        Time limits of the transfer.
    progress : callable, optional
        Called as ``progress(file, bytes so far, bytes in all)``.

    Returns
    -------
    Path
        The folder: where the set already lies, or its place in the cache.

    Raises
    ------
    CardError
        If there is no such set.
    DatasetUnavailableError
        If the terms were not accepted, the machine is offline, the set is given out on request only (the
        message says how), or its server fails.
    DamagedFileError
        If a server sends other bytes than were published.
    """
    from filelock import FileLock, Timeout

    from neuroai_datasets.catalogue import info

    card = info(name)
    present = _complete_here(card)
    if present is not None:
        return present
    if card.fetcher is None:
        raise DatasetUnavailableError(
            f"{card.title} cannot be fetched by a program. {card.how_to_obtain.strip()} "
            f"Then place it in {_place(card)} or under NEUROAI_DATA and run: neuroai data verify {name}"
        )
    if is_offline():
        raise DatasetUnavailableError(
            f"{name} is not on this machine and NEUROAI_OFFLINE is set: unset it to fetch {card.title}, "
            f"or place the set in {_place(card)}"
        )
    locks = cache_folder() / "locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetUnavailableError(
            f"the cache folder {cache_folder()} cannot be written ({error.strerror}): "
            "set NEUROAI_CACHE to a folder that can"
        ) from None
    try:
        with FileLock(locks / f"{name}.lock", timeout=_LOCK_SECONDS):
            present = _complete_here(card)
            if present is not None:
                return present
            _require_acceptance(card, accept_licence, ask)
            return _fetch_into(_place(card), card, patience, progress)
    except Timeout:
        raise DatasetUnavailableError(
            f"another process has been fetching {name} for over {_LOCK_SECONDS / 60:.0f} minutes: "
            "wait for it, or end it and try again"
        ) from None


def terms(card: CatalogueCard) -> str:
    """Return what a user is shown before a download: what, how large, whose, on which terms."""
    size = f"{'about ' if card.size_is_estimate else ''}{card.size_bytes / 1e6:.1f} MB"
    size = size if card.size_bytes else "size not stated"
    address = f" ({card.licence_url})" if card.licence_url else ""
    return f"{card.title}, {size}\nLicence: {card.licence}{address}\nPlease cite: {card.citation}"


def _place(card: CatalogueCard) -> Path:
    return cache_folder() / "datasets" / (card.folder or card.name)


def _complete_here(card: CatalogueCard) -> Path | None:
    """Return the folder where every file of the card lies with its size (fetched sets: the manifest)."""
    from neuroai_datasets.catalogue import locate
    from neuroai_datasets.catalogue.verifying import MANIFEST

    folder = locate(card.name)
    if folder is None:
        return None
    if card.files:
        right = all(
            (folder / path).is_file() and (folder / path).stat().st_size == entry.bytes
            for path, entry in card.files.items()
        )
        return folder if right else None
    return folder if card.fetcher is None or (folder / MANIFEST).is_file() else None


def _fetch_into(
    folder: Path, card: CatalogueCard, patience: Patience | None, progress: Progress | None
) -> Path:
    if card.fetcher == "nilearn-haxby":
        _fetch_haxby(folder)
    elif card.fetcher == "pooch":
        for path, entry in card.files.items():
            if entry.url is None:
                raise DatasetUnavailableError(f"the card of {card.name} gives no address for {path}")
            download(
                entry.url, folder / path, entry.sha256, entry.bytes, patience=patience, progress=progress
            )
    else:
        raise DatasetUnavailableError(f"the card of {card.name} names an unknown fetcher {card.fetcher!r}")
    return folder


def _fetch_haxby(folder: Path) -> None:
    """Let nilearn fetch and unpack all six subjects, then note what arrived."""
    from nilearn.datasets import fetch_haxby

    try:
        fetch_haxby(data_dir=str(folder), subjects=[1, 2, 3, 4, 5, 6], verbose=0)
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetUnavailableError(
            f"nilearn could not fetch the Haxby set: {error}; run the same command again later"
        ) from error
    write_manifest(folder)


def _require_acceptance(
    card: CatalogueCard, accept_licence: bool | str, ask: Callable[[str], bool] | None
) -> None:
    """Return if the terms are or were accepted, and note it; refuse otherwise."""
    notes = cache_folder() / "licences.json"
    accepted = _read_notes(notes)
    if accepted.get(card.name, {}).get("licence") == card.licence:
        return
    named = isinstance(accept_licence, str) and accept_licence.strip().lower() in (
        card.licence.strip().lower(),
        card.name,
    )
    if not (accept_licence is True or named or (ask is not None and ask(terms(card)))):
        wrong = (
            f" (accept_licence={accept_licence!r} is another one)" if isinstance(accept_licence, str) else ""
        )
        raise DatasetUnavailableError(
            f"the licence of {card.name} has not been accepted{wrong}, so nothing was fetched.\n"
            f"{terms(card)}\n"
            f"To accept: neuroai data fetch {card.name} --accept-licence, or fetch(..., accept_licence=True)"
        )
    accepted[card.name] = {
        "licence": card.licence,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _write_notes(notes, accepted)


def _read_notes(path: Path) -> dict[str, dict[str, str]]:
    """Read who accepted what; a damaged note only means asking again."""
    try:
        notes = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return (
        {str(key): value for key, value in notes.items() if isinstance(value, dict)}
        if isinstance(notes, dict)
        else {}
    )


def _write_notes(path: Path, notes: dict[str, dict[str, str]]) -> None:
    from filelock import FileLock

    with FileLock(path.with_suffix(".lock")):
        merged = _read_notes(path) | notes
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(merged, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(path)
