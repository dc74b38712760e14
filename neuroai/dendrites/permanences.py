"""Permanences in fixed point: decimal steps add up exactly, on every device."""

import numpy as np
import numpy.typing as npt

from neuroai.errors import ConfigError

__all__ = ["UNITS", "to_units"]

#: Units of permanence 1.0: multiples of 200, so that usual settings (0.01, 0.21, 0.1, 0.5) are exact.
UNITS = {"uint8": 200, "uint16": 60_000}


def to_units(value: float, dtype: npt.DTypeLike, name: str, *, least: float = 0.0) -> int:
    """Permanence or step of a permanence as an integer.

    Parameters
    ----------
    value : float
        From ``least`` to 1.
    dtype : uint8 or uint16
        One unit is 1/200 or 1/60000.
    name : str
        Of the setting, for the error.

    Returns
    -------
    int
        The nearest number of units.

    Raises
    ------
    ConfigError
        If the value is out of range, or so small that it would be lost.

    Examples
    --------
    >>> to_units(0.1, "uint8", "increment") * 5 == to_units(0.5, "uint8", "connected")
    True
    """
    key = str(np.dtype(dtype))
    if key not in UNITS:
        raise ConfigError(f"permanences are kept as uint8 or uint16, not {key}")
    if not least <= value <= 1:
        raise ConfigError(f"{name} is {value!r}; expected a permanence from {least:g} to 1")
    units = round(value * UNITS[key])
    if units == 0 and value > 0:
        raise ConfigError(
            f"{name} = {value!r} is below half a unit of {key} (1/{UNITS[key]}): use a larger value or uint16"
        )
    return units
