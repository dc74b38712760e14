"""Choices a user makes when loading, e.g. which session, and how cards name files by them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuroai_datasets.errors import CardError

When = dict[str, str | list[str]]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Table(BaseModel):
    """A table in which every key must be known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Selection(Table):
    """One choice a user makes when loading, e.g. ``load("v4_images", session="210325")``.

    Attributes
    ----------
    choices : list of str
        What may be asked for.
    default : str, optional
        What is taken when nothing is asked; without it the choice must be made.
    help : str
        One line for listings and errors.
    applies : mapping, optional
        Other selections under which choices besides the default exist,
        e.g. ``{session = ["190925"]}``.
    """

    choices: list[str] = Field(min_length=1)
    default: str | None = None
    help: str = ""
    applies: When = Field(default_factory=dict)

    @model_validator(mode="after")
    def _default_is_a_choice(self) -> Selection:
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"default {self.default!r} is not among the choices {self.choices}")
        return self


def holds(when: When, chosen: Mapping[str, str]) -> bool:
    """Whether the selections `chosen` satisfy every entry of `when`.

    Examples
    --------
    >>> holds({"session": ["a", "b"]}, {"session": "b"}), holds({"session": "a"}, {"session": "b"})
    (True, False)
    """
    return all(
        chosen.get(key) in (values if isinstance(values, list) else [values]) for key, values in when.items()
    )


def resolve_selection(
    selections: Mapping[str, Selection], asked: Mapping[str, object], where: str
) -> dict[str, str]:
    """Complete what was asked for by the defaults, or say what there is to choose.

    Parameters
    ----------
    selections : mapping of str to Selection
        What the card offers.
    asked : mapping
        What the user gave; values are compared as text, so ``session=210325`` works.
    where : str
        Name of the data set or folder, for messages.

    Raises
    ------
    CardError
        Unknown selection, unknown choice, a choice that does not exist here, or one that must be made.

    Examples
    --------
    >>> resolve_selection({"run": Selection(choices=["1", "2"], default="1")}, {"run": 2}, "x")
    {'run': '2'}
    """
    for name in asked:
        if name not in selections:
            offered = ", ".join(selections) or "none"
            raise CardError(
                f"{where}: there is no selection {name!r}{nearest(name, selections)}; selections: {offered}"
            )
    chosen: dict[str, str] = {}
    for name, selection in selections.items():
        value = asked.get(name)
        text = selection.default if value is None else str(value)
        choices = ", ".join(selection.choices)
        if text is None:
            raise CardError(f"{where}: say which {name}: add {name}=... out of {choices}")
        if text not in selection.choices:
            raise CardError(
                f"{where}: {name}={text!r} does not exist{nearest(text, selection.choices)}; "
                f"choices: {choices}"
            )
        chosen[name] = text
    for name, selection in selections.items():
        if chosen[name] != selection.default and not holds(selection.applies, chosen):
            need = ", ".join(f"{key}={value}" for key, value in selection.applies.items())
            raise CardError(
                f"{where}: {name}={chosen[name]!r} exists only with {need}; leave it out or choose that"
            )
    return chosen


def fill_template(text: str, chosen: Mapping[str, str], where: str) -> str:
    """Replace ``{name}`` by the selection of that name.

    Examples
    --------
    >>> fill_template("responses_{session}.npy", {"session": "210325"}, "card")
    'responses_210325.npy'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in chosen:
            raise CardError(f"{where}: {text!r} uses {{{match[1]}}}, but there is no such selection")
        return chosen[match[1]]

    return _PLACEHOLDER.sub(value, text)


def nearest(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """`` (did you mean 'x'?)``, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
