"""Options as people write them, on a command line, in the environment, in TOML or in Python."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from neuroai.errors import ConfigError

READOUT_NAMES = ("ridge", "pca-ridge", "factorised", "gaussian", "attention")

_BYTE_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_BYTE_UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def as_names(value: Any) -> tuple[str, ...]:
    """Split ``"a,b"`` or pass a list of names on.

    Examples
    --------
    >>> as_names("pixels, gabor"), as_names(["pixels"])
    (('pixels', 'gabor'), ('pixels',))
    """
    items = value.split(",") if isinstance(value, str) else list(value)
    return tuple(name for item in items for name in [str(item).strip()] if name)


def as_integers(value: Any) -> tuple[int, ...]:
    """Read ``"1,2,3"``, a range ``"0:15"`` (end left out) or a sequence.

    Examples
    --------
    >>> as_integers("1,2,5"), as_integers("0:4"), as_integers(3)
    ((1, 2, 5), (0, 1, 2, 3), (3,))
    """
    if isinstance(value, str) and ":" in value:
        parts = value.split(":")
        found = tuple(range(*_whole(parts, value))) if len(parts) == 2 else ()
        if not found:
            raise ConfigError(f"found {value!r}, expected FIRST:END with the end left out, for example 0:15")
        return found
    items = value.split(",") if isinstance(value, str) else _listed(value)
    return tuple(_whole([item for item in items if str(item).strip()], value))


def _whole(items: Iterable[Any], value: Any) -> list[int]:
    try:
        return [int(item) for item in items]
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"found {value!r}, expected whole numbers such as 1,2,3, or a range such as 0:15"
        ) from error


def as_alphas(value: Any) -> tuple[float, ...]:
    """Read ``"1,10,100"``, a log-spaced ``"1e-3:1e5:20"`` or a sequence of positive numbers.

    Examples
    --------
    >>> as_alphas("1:100:3")
    (1.0, 10.0, 100.0)
    """
    if isinstance(value, str) and ":" in value:
        parts = value.split(":")
        if len(parts) != 3 or not parts[2].strip().isdigit() or int(parts[2]) < 1:
            raise ConfigError(f"found {value!r}, expected LOW:HIGH:COUNT, for example 1e-3:1e5:20")
        low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
        _check_alphas((low, high))
        step = (math.log10(high) - math.log10(low)) / max(count - 1, 1)
        return tuple(10 ** (math.log10(low) + step * index) for index in range(count))
    items = value.split(",") if isinstance(value, str) else _listed(value)
    return _check_alphas(tuple(float(item) for item in items))


def _check_alphas(alphas: tuple[float, ...]) -> tuple[float, ...]:
    wrong = [alpha for alpha in alphas if not (0 < alpha < math.inf)]
    if wrong:
        raise ConfigError(f"found the penalty {wrong[0]}, expected positive finite numbers")
    return alphas


def as_bytes(value: Any) -> int:
    """Read an amount of memory.

    Examples
    --------
    >>> as_bytes("4GiB"), as_bytes("1.5 kB"), as_bytes(64)
    (4294967296, 1500, 64)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    if match is None or match[2].upper() not in _BYTE_UNITS:
        raise ConfigError(f"found {value!r}, expected an amount of memory such as 4GiB or 500MB")
    return int(float(match[1]) * _BYTE_UNITS[match[2].upper()])


def as_cv(value: Any) -> str:
    """Check the name of a cross-validation scheme.

    Examples
    --------
    >>> as_cv(5), as_cv("blocked:4"), as_cv("holdout:0.2")
    ('5', 'blocked:4', 'holdout:0.2')
    """
    text = str(value).strip()
    pattern = r"auto|runs|\d+|(?:stimulus|blocked|random)(?::\d+)?|holdout(?::0?\.\d+)?"
    if not re.fullmatch(pattern, text):
        raise ConfigError(
            f"found {text!r}, expected auto, runs, stimulus[:k], blocked[:k], random[:k], "
            "holdout[:fraction] or a number of folds"
        )
    folds = re.search(r"(?:^|:)(\d+)$", text)
    if folds is not None and int(folds[1]) < 2:
        raise ConfigError(f"found {text!r}, expected at least 2 folds")
    return text


def as_readout(value: Any) -> str:
    """Check the name of a readout.

    Examples
    --------
    >>> as_readout("ridge"), as_readout("attention:queries=vertex")
    ('ridge', 'attention:queries=vertex')
    """
    name, _ = split_readout(str(value))
    if name not in READOUT_NAMES:
        raise ConfigError(f"found the readout {name!r}, expected one of: {', '.join(READOUT_NAMES)}")
    return str(value).strip()


def as_workers(value: Any) -> str:
    """Check a number of processes, or the address of a Dask scheduler.

    Examples
    --------
    >>> as_workers(4), as_workers("tcp://10.0.0.1:8786")
    ('4', 'tcp://10.0.0.1:8786')
    """
    text = str(value).strip()
    if not (text.isdigit() and int(text) >= 1) and not re.fullmatch(r"[a-z]+://\S+", text):
        raise ConfigError(f"found {text!r}, expected a number of processes, or an address tcp://HOST:PORT")
    return text


def split_readout(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``NAME[:key=value,...]`` into a name and typed options.

    Examples
    --------
    >>> split_readout("attention:queries=vertex,epochs=20,lr=1e-3")
    ('attention', {'queries': 'vertex', 'epochs': 20, 'lr': 0.001})
    """
    name, _, rest = text.strip().partition(":")
    options = {}
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"found {part!r} in {text!r}, expected key=value")
        options[key.strip()] = as_scalar(value.strip())
    return name, options


def as_scalar(text: str) -> int | float | bool | str | None:
    """Read a word as a number, a truth value, none, or itself.

    Examples
    --------
    >>> as_scalar("3"), as_scalar("0.5"), as_scalar("true"), as_scalar("roi")
    (3, 0.5, True, 'roi')
    """
    words: dict[str, bool | None] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def one_of(*names: str) -> Callable[[Any], str]:
    """Make a parser that accepts these words alone."""

    def parse(value: Any) -> str:
        if str(value) not in names:
            raise ConfigError(f"found {value!r}, expected one of: {', '.join(names)}")
        return str(value)

    return parse


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) else [value]
