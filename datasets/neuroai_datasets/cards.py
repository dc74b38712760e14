"""Catalogue cards, and the parsing of both kinds of card.

A *recording card* (``recording.toml`` beside arrays, see `RecordingCard`) says which array is what.
A *catalogue card* (one TOML file a data set, shipped with the package, see `CatalogueCard`) says what
a data set is called, whose it is, how to obtain it and how to check it; for sets made of plain arrays
it holds a recording card as its ``[recording]`` table.  Unknown keys are errors that name the nearest
key there is.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from neuroai_datasets.errors import CardError
from neuroai_datasets.recording_card import RecordingCard, relative_inside
from neuroai_datasets.selections import Selection, Table, nearest

__all__ = [
    "CatalogueCard",
    "FileEntry",
    "RecordingCard",
    "Selection",
    "parse_card",
    "read_catalogue_card",
    "read_recording_card",
]

Scalar = bool | int | float | str


class FileEntry(Table):
    """Checksum and size of one file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    url: str | None = None


class CatalogueCard(Table):
    """One data set of the catalogue.

    Attributes
    ----------
    name, title, citation, licence, licence_url : str
        What it is and on which terms.
    species, modality : str
        Shown in listings.
    size_bytes : int
        Of all files; may be an estimate for public sets (``size_is_estimate``).
    how_to_obtain : str
        What a person does when it cannot be fetched (sign-up, agreement, address).
    urls : list of str
        Addresses of the files or of the landing page.
    fetcher : str, optional
        Registered fetcher ("pooch", "nilearn-haxby"); without it nothing is downloaded.
    files : table
        Path in the folder to `FileEntry`.
    folder : str, optional
        Folder under the data root; the name when left out.
    reader : str
        Name in ``neuroai_datasets.readers.READERS``; "card" reads the ``[recording]`` table.
    selections : table of `Selection`
        What a user chooses.
    recording : RecordingCard, optional
        How to read plain arrays.
    encode : table
        Defaults of the ``encode`` command for this set; its ``selection`` holds where it applies.
    subjects : list of str
        People or animals in the set.
    units : str
        Unit of the responses.
    defects : list of str
        What is known to be wrong with the files, one line each.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$")
    title: str
    citation: str
    licence: str
    licence_url: str = ""
    species: str = ""
    modality: str = ""
    size_bytes: int = Field(ge=0)
    size_is_estimate: bool = False
    how_to_obtain: str
    urls: list[str] = Field(default_factory=list)
    fetcher: str | None = None
    files: dict[str, FileEntry] = Field(default_factory=dict)
    folder: str | None = None
    reader: str = "card"
    selections: dict[str, Selection] = Field(default_factory=dict)
    recording: RecordingCard | None = None
    encode: dict[str, Scalar | list[Scalar] | dict[str, str]] = Field(default_factory=dict)
    subjects: list[str] = Field(default_factory=list)
    units: str = ""
    defects: list[str] = Field(default_factory=list)

    @field_validator("files")
    @classmethod
    def _paths_inside(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for path in value:
            relative_inside(path)
        return value

    @model_validator(mode="after")
    def _card_reader_has_a_card(self) -> CatalogueCard:
        if (self.reader == "card") != (self.recording is not None):
            raise ValueError('reader = "card" and a [recording] table belong together')
        return self


Card = TypeVar("Card", RecordingCard, CatalogueCard)


def parse_card(model: type[Card], table: Mapping[str, Any], where: str | Path) -> Card:
    """Check a parsed TOML table against a card.

    Parameters
    ----------
    model : RecordingCard or CatalogueCard
        Which kind of card.
    table : mapping
        The parsed TOML.
    where : str or Path
        File the table came from, for messages.

    Raises
    ------
    CardError
        An unknown key (with the nearest known one), a missing or ill-typed value.

    Examples
    --------
    >>> parse_card(RecordingCard, {"name": "a", "responses": "y.npy"}, "recording.toml").responses.file
    'y.npy'
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        lines = [_explain(model, item["type"], item["loc"], item["msg"]) for item in error.errors()]
        raise CardError(f"{where}: " + "; ".join(lines)) from None
    except RecursionError:
        raise CardError(f"{where}: tables are nested too deeply for a card") from None


def read_recording_card(path: str | Path) -> RecordingCard:
    """Read ``recording.toml``; see `RecordingCard` for its keys."""
    from neuroai_datasets.safe import read_toml

    return parse_card(RecordingCard, read_toml(Path(path)), path)


def read_catalogue_card(path: str | Path) -> CatalogueCard:
    """Read one card of the catalogue; see `CatalogueCard` for its keys."""
    from neuroai_datasets.safe import read_toml

    return parse_card(CatalogueCard, read_toml(Path(path)), path)


def _explain(model: type[BaseModel], kind: str, location: tuple[int | str, ...], message: str) -> str:
    """One line of a validation error: where, what, and the nearest known key."""
    path = ".".join(str(part) for part in location) or "the card"
    if kind != "extra_forbidden":
        return f"{path}: {message.removeprefix('Value error, ')}"
    known = list(_model_at(model, location[:-1]).model_fields)
    key = str(location[-1])
    return f"unknown key {path!r}{nearest(key, known)}; known keys here: {', '.join(known)}"


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """Find the table type at a validation error's location."""
    current = model
    for part in location:
        field = current.model_fields.get(str(part))
        inner = None if field is None else _model_in(field.annotation)
        current = inner or current  # a key of dict[str, Model] or an index of list[Model] stays inside
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the first table type inside an annotation such as ``dict[str, Selection]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in typing.get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
