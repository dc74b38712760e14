"""The one place that converts: times to float64 seconds, stored numbers to floats."""

import re

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError, UnitError

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
_ALIASES = {
    "sec": "s", "second": "s", "seconds": "s", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
    "usec": "us", "microsecond": "us", "microseconds": "us", "nanoseconds": "ns", "minutes": "min",
    "hours": "h",
}  # fmt: skip
_SAMPLES = re.compile(r"samples@(\d+(?:\.\d+)?)")


def to_seconds(values: npt.ArrayLike, unit: str) -> npt.NDArray[np.float64]:
    """Times in ``unit`` as float64 seconds.

    Parameters
    ----------
    values : array-like
        Any real dtype; float32 is refused beyond its resolution (0.24 ms at one hour).
    unit : {"s", "ms", "us", "ns", "min", "h", "samples@RATE"}
        ``"samples@30000"`` divides sample indices by 30000 Hz.

    Returns
    -------
    ndarray of float64, seconds
        Always a new array.

    Raises
    ------
    UnitError
        If the unit is not known.

    Notes
    -----
    Division by the number of units a second, not multiplication by a rounded reciprocal: 3 ms is 0.003
    exactly as Python reads it. O(n).

    Examples
    --------
    >>> to_seconds([3, 1500], "ms").tolist()
    [0.003, 1.5]
    >>> to_seconds([30000], "samples@30000").tolist()
    [1.0]
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise UnitError(f"times have dtype {array.dtype}: expected numbers")
    name = _ALIASES.get(unit.strip().lower(), unit.strip())
    match = _SAMPLES.fullmatch(name)
    if match:
        return array.astype(np.float64) / float(match.group(1))
    if name not in SECONDS:
        known = ", ".join([*SECONDS, "samples@RATE"])
        raise UnitError(f"unit {unit!r} is not known: expected one of {known}")
    factor = SECONDS[name]
    return array.astype(np.float64) * factor if factor >= 1 else array.astype(np.float64) / round(1 / factor)


def to_float(
    values: npt.ArrayLike,
    scale: float | None = None,
    offset: float | None = None,
    what: str = "values",
) -> npt.NDArray[np.floating]:
    """Stored numbers as floats: ``scale * stored + offset``, applied once, in float64.

    Parameters
    ----------
    values : array-like
        Any real dtype.
    scale, offset : float, optional
        As recorded with the data (NIfTI slope and intercept, HDF5 ``scale_factor``, betas stored x 300 have
        ``scale=1/300``). ``scale=1`` says that the integers are the values.
    what : str
        Name of the array in messages.

    Returns
    -------
    ndarray
        float32 (float64 stays float64; integers that float32 cannot hold become float64).

    Raises
    ------
    DataError
        16-bit integers without a scale (they are nearly always scaled betas or volts), or an unusable scale.

    Notes
    -----
    O(n) time; a block of at most 4 MiB is held in float64 beside the result.

    Examples
    --------
    >>> import numpy as np
    >>> to_float(np.array([300, -150], dtype=np.int16), scale=1 / 300).tolist()
    [1.0, -0.5]
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{what} has dtype {array.dtype}: expected real numbers")
    if scale is not None and (not np.isfinite(scale) or scale == 0):
        raise DataError(f"{what}: scale = {scale} cannot be applied: expected a finite number other than 0")
    if offset is not None and not np.isfinite(offset):
        raise DataError(f"{what}: offset = {offset} is not finite")
    if scale is None and array.dtype.kind in "iu" and array.dtype.itemsize == 2:
        raise DataError(
            f"{what} is stored as {array.dtype} without a scale: 16-bit betas are usually values x a factor "
            "(300 in NSD). Give scale=1/300 (or the factor used), or scale=1 if the integers are the values"
        )
    if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
        return to_float(array.T, scale, offset, what).T  # in memory order
    target = _float_dtype(array)
    if scale in (None, 1) and not offset:
        return array.astype(target, copy=False)
    out = np.empty(array.shape, dtype=target)
    flat_in, flat_out = array.reshape(-1), out.reshape(-1)
    for start in range(0, flat_in.size, 1 << 19):
        block = flat_in[start : start + (1 << 19)].astype(np.float64)
        flat_out[start : start + block.size] = block * (1.0 if scale is None else scale) + (offset or 0.0)
    return out


def _float_dtype(array: npt.NDArray[np.generic]) -> type[np.floating]:
    if array.dtype.kind == "f":
        return np.float64 if array.dtype.itemsize > 4 else np.float32
    if array.dtype.itemsize > 2 and array.size:
        low, high = int(array.min()), int(array.max())
        return np.float32 if max(-low, high) <= 2**24 else np.float64
    return np.float32
