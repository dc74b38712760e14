"""The configuration of an encoding run, resolved from card, file, environment and flags."""

import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neuroai.errors import ConfigError
from neuroai.runs import toml_text
from neuroai.runs.parsing import (
    as_alphas,
    as_bytes,
    as_cv,
    as_integers,
    as_names,
    as_readout,
    as_workers,
    one_of,
)

#: Environment variables that set options: ``NEUROAI_ENCODE_SEED=3`` is ``--seed 3``.
ENVIRONMENT_PREFIX = "NEUROAI_ENCODE_"

#: Options that say how a job runs, not what it computes: they may differ when a run is resumed.
_HOW = ("memory", "device", "workers")


@dataclass(frozen=True)
class EncodeConfig:
    """Everything that decides what an encoding run computes.

    Parameters
    ----------
    recording : str
        Catalogue name or path, as given to :func:`neuroai.datasets.load`.
    selection : Mapping of str to str
        What to take of the recording, for example ``{"session": "210325"}``.
    features : tuple of str
        Feature spaces, ``NAME[:LAYER]`` each; more than one is a layer ensemble.
        Empty: chosen from the kind of recording.
    readout : str
        ``NAME[:key=value,...]``, for example ``ridge`` or ``attention:queries=vertex``.
    delays : tuple of int
        Lags in samples, for series; empty means none.
    smooth : float
        Standard deviation, in pixels, of a Gaussian blur of stimuli that are features themselves.
    cv : str
        ``auto``, ``runs``, ``stimulus[:k]``, ``blocked[:k]``, ``holdout[:fraction]`` or a number of folds.
    alphas : tuple of float
        Penalties to choose from; empty means the readout's own.
    score : {"joined", "fold"}
        One correlation over the predictions of all folds joined, or the mean of one a fold.
    detrend, standardise : str
        Preparation of the responses; see :mod:`neuroai.runs.preparation`.
    permutations : int
        Number of permutations for the p-values; 0 leaves them out.
    memory : str
        Budget for large intermediate arrays, for example ``4GiB``.
    seed : int
        Seed of everything random: folds, initial weights, permutations.
    device : str
        ``cpu``, ``cuda`` or ``cuda:1``.
    workers : str
        Processes that share the targets, or the address of a Dask scheduler; see
        :mod:`neuroai.runs.sharding`.

    Examples
    --------
    >>> config = EncodeConfig("v4_images", features=("pixels",))
    >>> config.readout, config.cv
    ('ridge', 'auto')
    """

    recording: str
    selection: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    readout: str = "ridge"
    delays: tuple[int, ...] = ()
    smooth: float = 0.0
    cv: str = "auto"
    alphas: tuple[float, ...] = ()
    score: str = "joined"
    detrend: str = "auto"
    standardise: str = "auto"
    permutations: int = 1000
    memory: str = "4GiB"
    seed: int = 0
    device: str = "cpu"
    workers: str = "1"

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for TOML or JSON."""
        table: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            table[item.name] = list(value) if isinstance(value, tuple) else value
        table["selection"] = dict(self.selection)
        return table

    def to_toml(self, origins: Mapping[str, str] | None = None) -> str:
        """Write the configuration as TOML, with the origin of each value as a comment."""
        return toml_text.dumps(self.to_dict(), comments=origins)

    def digest(self) -> str:
        """Return 12 hexadecimal digits that change with whatever changes the numbers."""
        table = {key: value for key, value in self.to_dict().items() if key not in _HOW}
        text = json.dumps(table, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


_PARSERS: dict[str, Any] = {
    "recording": lambda value: str(value),
    "selection": lambda value: {str(k): str(v) for k, v in dict(value).items()},
    "features": as_names,
    "readout": as_readout,
    "delays": as_integers,
    "smooth": lambda value: _blur(value),
    "cv": as_cv,
    "alphas": as_alphas,
    "score": one_of("joined", "fold"),
    "detrend": one_of("auto", "none", "constant", "linear"),
    "standardise": one_of("auto", "none", "run"),
    "permutations": lambda value: _count(value),
    "memory": lambda value: as_bytes(value) and str(value),
    "seed": lambda value: _count(value),
    "device": lambda value: str(value),
    "workers": as_workers,
}


def resolve(
    flags: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = None,
    card: Mapping[str, Any] | None = None,
) -> tuple[EncodeConfig, dict[str, str]]:
    """Resolve a configuration: card < file < environment < flag.

    Parameters
    ----------
    flags : Mapping
        Options given on the command line or as keywords; ``None`` means not given.
    environ : Mapping, optional
        Environment variables; those named ``NEUROAI_ENCODE_<OPTION>`` count.
    file : path, optional
        TOML file of options.
    card : Mapping, optional
        The data set's own defaults.

    Returns
    -------
    config : EncodeConfig
        The resolved options.
    origins : dict of str to str
        Where each of them came from.

    Raises
    ------
    ConfigError
        For an unknown option (the nearest valid one is named) or an unusable value.

    Examples
    --------
    >>> config, origins = resolve({"recording": "x", "seed": 3}, environ={"NEUROAI_ENCODE_SEED": "2"})
    >>> config.seed, origins["seed"], origins["cv"]
    (3, 'flag', 'default')
    """
    values: dict[str, Any] = {}
    origins = {item.name: "default" for item in fields(EncodeConfig)}
    sources = [
        ("card", card or {}),
        ("file", read_config(file) if file is not None else {}),
        ("environment", _from_environment(environ or {})),
        ("flag", {key: value for key, value in flags.items() if value is not None}),
    ]
    for source, table in sources:
        for key, value in table.items():
            _check_key(key, source)
            if key == "selection":
                values[key] = {**values.get(key, {}), **_parse(key, value, source)}
                if not value:
                    continue
            else:
                values[key] = _parse(key, value, source)
            origins[key] = source
    if "recording" not in values:
        raise ConfigError("no recording given; name a catalogue entry (`neuroai data list`) or a path")
    return EncodeConfig(**values), origins


def read_config(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Read options from a TOML file.

    Raises
    ------
    ConfigError
        If the file is absent or is not TOML.
    """
    path = Path(file)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f'{path} is not TOML: {error}; expected lines such as: readout = "ridge"'
        ) from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found = {k: v for k, v in environ.items() if k.startswith(ENVIRONMENT_PREFIX)}
    return {key.removeprefix(ENVIRONMENT_PREFIX).lower(): value for key, value in found.items()}


def _check_key(key: str, source: str) -> None:
    if key in _PARSERS:
        return
    near = difflib.get_close_matches(key, _PARSERS, n=1, cutoff=0.0)
    raise ConfigError(
        f"unknown option {key!r} in the {source}; did you mean {near[0]!r}? Options: {', '.join(_PARSERS)}"
    )


def _parse(key: str, value: Any, source: str) -> Any:
    try:
        return _PARSERS[key](value)
    except ConfigError as error:
        raise ConfigError(f"{key} ({source}): {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key} ({source}): cannot use {value!r}: {error}") from error


def _blur(value: Any) -> float:
    width = float(value)
    if not 0 <= width < 1e4:
        raise ConfigError(f"found {value!r}, expected a number of pixels of at least 0")
    return width


def _count(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or number < 0 or number != float(value):
        raise ConfigError(f"found {value!r}, expected a whole number of at least 0")
    return number
