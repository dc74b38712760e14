"""The catalogue: what data sets there are, whose they are, where they lie, and whether they are intact.

One TOML file a data set lies beside this module (`neuroai_datasets.cards.CatalogueCard`).  To add a
set, add a card.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from neuroai_datasets.cards import CatalogueCard, parse_card
from neuroai_datasets.errors import CardError, DatasetUnavailableError
from neuroai_datasets.locations import data_folders
from neuroai_datasets.selections import nearest

__all__ = [
    "Listing",
    "Verification",
    "fetch",
    "info",
    "list_datasets",
    "locate",
    "require",
    "terms",
    "verify",
]


@dataclass(frozen=True)
class Listing:
    """One line of `list_datasets`: what it is, on which terms, how large, and where it lies here."""

    name: str
    title: str
    modality: str
    licence: str
    size_bytes: int
    folder: Path | None

    @property
    def is_here(self) -> bool:
        """Whether the set is on this machine."""
        return self.folder is not None


@cache
def _cards() -> dict[str, CatalogueCard]:
    import tomllib

    cards = {}
    for entry in sorted(resources.files(__package__).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            card = parse_card(CatalogueCard, tomllib.loads(entry.read_text("utf-8")), entry.name)
            if f"{card.name}.toml" != entry.name:
                raise CardError(
                    f"catalogue card {entry.name} calls itself {card.name!r}: rename one of the two"
                )
            cards[card.name] = card
    return cards


def list_datasets() -> list[Listing]:
    """List all data sets of the catalogue by name.

    Examples
    --------
    >>> "nsd" in [listing.name for listing in list_datasets()]
    True
    """
    return [
        Listing(card.name, card.title, card.modality, card.licence, card.size_bytes, locate(card.name))
        for card in _cards().values()
    ]


def info(name: str) -> CatalogueCard:
    """Return the card of a data set.

    Raises
    ------
    CardError
        If there is none of that name; the nearest name is suggested.

    Examples
    --------
    >>> info("nsd").modality
    'fmri'
    """
    cards = _cards()
    if name not in cards:
        raise CardError(
            f"no data set {name!r} in the catalogue{nearest(name, cards)}; sets: {', '.join(cards)}"
        )
    return cards[name]


def locate(name: str) -> Path | None:
    """Return the folder of a data set on this machine, or None.

    ``NEUROAI_DATA`` is searched before the cache.
    """
    card = info(name)
    candidates = (root / (card.folder or card.name) for root in data_folders())
    return next((folder for folder in candidates if _holds_something(folder, card)), None)


def _holds_something(folder: Path, card: CatalogueCard) -> bool:
    """Whether a folder holds at least one of the card's files, or anything where the card names none."""
    if not folder.is_dir():
        return False
    if card.files:
        return any((folder / path).is_file() for path in card.files)
    return any(_is_visible(entry.name) for entry in folder.iterdir())


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(".part")


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, hidden ones and unfinished downloads left out."""
    for path in sorted(folder.rglob("*")):
        if all(map(_is_visible, path.relative_to(folder).parts)) and path.is_file():
            yield path


def require(name: str) -> Path:
    """Return the folder of a data set on this machine.

    Raises
    ------
    DatasetUnavailableError
        If it is not here; says how to obtain it.
    """
    folder = locate(name)
    if folder is None:
        card = info(name)
        searched = ", ".join(str(root / (card.folder or card.name)) for root in data_folders())
        how = f"run: neuroai data fetch {name}" if card.fetcher else card.how_to_obtain.strip()
        raise DatasetUnavailableError(
            f"data set {name!r} is not on this machine (looked in {searched}); {how}"
        )
    return folder


from neuroai_datasets.catalogue.fetching import fetch, terms  # noqa: E402  (these two use what is above)
from neuroai_datasets.catalogue.verifying import Verification, verify  # noqa: E402
