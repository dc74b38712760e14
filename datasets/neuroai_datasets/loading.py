"""One call that opens everything: a data set by name, a folder, a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from neuroai_datasets.errors import CardError, DataError, DatasetUnavailableError
from neuroai_datasets.selections import nearest, resolve_selection

if TYPE_CHECKING:
    from neuroai_datasets.cards import CatalogueCard
    from neuroai_datasets.recording import Recording

OWN_SUFFIXES = (".h5", ".nc")


def load(name_or_path: str | Path, **selection: object) -> Recording:
    r"""Open a recording.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a data set of the catalogue (found under ``NEUROAI_DATA``, then in the cache), a
        folder with a ``recording.toml``, a BIDS folder, a folder in one of the known public layouts,
        or a file: ``.nwb``, ``.nii``, ``.nii.gz``, or the ``.h5`` that `Recording.save` writes.
        A plain name means the catalogue; write ``./name`` for a folder of the same name.
    **selection
        Choices that the data set offers, e.g. ``session="210325"``.

    Returns
    -------
    Recording

    Raises
    ------
    DatasetUnavailableError
        Neither a name of the catalogue nor something on disk, or a set that is not on this machine.
    CardError
        A selection that does not exist (lists the choices), or one that must be made.
    DataError
        Files that are damaged, unsafe or inconsistent.

    Notes
    -----
    Pictures stay on disk, and so do responses where the format allows it.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "counts.npy", np.arange(12.0).reshape(4, 3))
    >>> _ = (folder / "recording.toml").write_text('name = "mine"\nresponses = "counts.npy"\n')
    >>> load(folder).responses.shape
    (4, 3)
    """
    from neuroai_datasets.catalogue import list_datasets
    from neuroai_datasets.readers import detect_reader, get_reader
    from neuroai_datasets.recording import Recording

    text = str(name_or_path)
    if isinstance(name_or_path, str) and text in {listing.name for listing in list_datasets()}:
        return load_catalogued(text, selection)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise DatasetUnavailableError(_nothing_there(text))
    if path.is_file() and path.suffix in OWN_SUFFIXES:
        if selection:
            raise CardError(f"{path}: a saved recording has no selections, found {', '.join(selection)}")
        return Recording.open(path)
    reader = detect_reader(path)
    if reader is None:
        raise DatasetUnavailableError(
            f"{path}: no recording found. Expected a folder with recording.toml, a BIDS folder, a known "
            "public layout, or a file .nwb, .nii, .nii.gz or .h5. For your own arrays write a recording.toml "
            "beside them"
        )
    with reading(path):
        return get_reader(reader).read(path, **selection)


def load_catalogued(name: str, selection: Mapping[str, object]) -> Recording:
    """Open a data set of the catalogue that is on this machine.

    Parameters
    ----------
    name : str
        As in `neuroai_datasets.catalogue.list_datasets`.
    selection : mapping
        Choices; the card's defaults complete them.

    Raises
    ------
    DatasetUnavailableError
        If it is in none of the places searched; the message says how to obtain it.
    """
    from neuroai_datasets.catalogue import info, require
    from neuroai_datasets.readers import get_reader
    from neuroai_datasets.readers.arrays import read_with_card

    card = info(name)
    folder = require(name)
    chosen: Mapping[str, object] = selection
    if card.selections or card.recording is not None:
        chosen = resolve_selection(card.selections, selection, name)
    with reading(folder):
        if card.recording is not None:
            texts = {key: str(value) for key, value in chosen.items()}
            recording = read_with_card(folder, card.recording, texts)
        else:
            recording = get_reader(card.reader).read(folder, **chosen)
    return describe(recording, card)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Put `path` before the message of any of our errors that does not name it.

    Numbers that overflow (damaged scales, rates, periods) become Inf without a warning here: `Recording`
    refuses Inf by its position.
    """
    import numpy as np

    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            yield
    except DataError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def describe(recording: Recording, card: CatalogueCard) -> Recording:
    """Return `recording` with the name, title, citation and licence of its card."""
    from dataclasses import replace

    tree = recording.tree.copy()
    about = {"name": card.name, "title": card.title, "citation": card.citation, "licence": card.licence}
    known = {key: value for key, value in recording.attrs.items() if not isinstance(value, str) or value}
    extra = {"species": card.species, "modality": card.modality, "value_unit": card.units}
    tree.attrs = {**{key: value for key, value in extra.items() if value}, **known, **about}
    return replace(recording, tree=tree)


def _nothing_there(text: str) -> str:
    from neuroai_datasets.catalogue import list_datasets

    names = [listing.name for listing in list_datasets()]
    return (
        f"{text!r} is neither a data set of the catalogue{nearest(text, names)} nor a file or folder; "
        f"data sets: {', '.join(names)}"
    )
