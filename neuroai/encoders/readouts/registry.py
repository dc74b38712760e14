"""Names of the readouts. Classes are imported when they are asked for, so that listing costs nothing."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError

if TYPE_CHECKING:
    from neuroai.encoders.readouts.base import Readout


class ReadoutRegistry(Mapping[str, "type[Readout]"]):
    """Read-only mapping from a readout's name to its class, imported on first use.

    Examples
    --------
    >>> from neuroai.encoders.readouts.registry import READOUTS
    >>> sorted(READOUTS)
    ['attention', 'factorised', 'gaussian', 'pca-ridge', 'ridge']
    >>> READOUTS["ridge"].__name__
    'RidgeReadout'
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> "type[Readout]":
        if name not in self._places:
            raise KeyError(name)
        module, _, class_name = self._places[name].partition(":")
        found: type[Readout] = getattr(import_module(module), class_name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


_HERE = "neuroai.encoders.readouts"

#: Every readout by the name that commands and saved folders use.
READOUTS: Mapping[str, "type[Readout]"] = ReadoutRegistry(
    {
        "ridge": f"{_HERE}.ridge:RidgeReadout",
        "pca-ridge": f"{_HERE}.pca_ridge:PCARidgeReadout",
        "factorised": f"{_HERE}.factorised:FactorisedReadout",
        "gaussian": f"{_HERE}.gaussian:GaussianReadout",
        "attention": f"{_HERE}.attention:AttentionReadout",
    }
)


def make_readout(name: str, **options: Any) -> "Readout":
    """Build a readout from its name and options.

    Raises
    ------
    ConfigError
        No readout of that name, or an option that it does not have.

    Examples
    --------
    >>> make_readout("ridge", pool="mean").pool
    'mean'
    """
    if name not in READOUTS:
        raise ConfigError(f"There is no readout {name!r}; choose one of {', '.join(sorted(READOUTS))}.")
    readout = READOUTS[name]
    known = set(readout._get_param_names())
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(
            f"Readout {name!r} has no option {unknown[0]!r}; it has {', '.join(sorted(known))}."
        )
    return readout(**options)
