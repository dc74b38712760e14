"""Sampling periods: plausible, and the same wherever they are stated."""

from __future__ import annotations

from neuroai_datasets.errors import DataError, UnitError

LONGEST_TR, SHORTEST_TR = 20.0, 0.05
SAME_TR = 1e-3
"""Two statements of a period agree within this many seconds (headers store float32)."""


def check_period(period: float, modality: str, where: str) -> None:
    """Refuse periods that are probably in another unit.

    Parameters
    ----------
    period : float
        Seconds.
    modality : str
        For "fmri" the range is 0.05 to 20 s; others must be positive and below an hour.
    where : str
        For messages.

    Raises
    ------
    UnitError

    Examples
    --------
    >>> check_period(2.0, "fmri", "run 1")
    """
    if not 0 < period < 3600:
        raise UnitError(f"{where}: {period:g} s between samples; expected more than 0 and less than an hour")
    if modality != "fmri":
        return
    if period > LONGEST_TR:
        raise UnitError(
            f"{where}: a TR of {period:g} s; expected {SHORTEST_TR} to {LONGEST_TR} s. "
            f"{period:g} ms = {period / 1e3:g} s would be usual: give the TR in seconds"
        )
    if period < SHORTEST_TR:
        raise UnitError(
            f"{where}: a TR of {period:g} s; expected {SHORTEST_TR} to {LONGEST_TR} s: give the TR in seconds"
        )


def agree_on_tr(stated: dict[str, float], where: str) -> float:
    """Return the one TR that all sources state.

    Parameters
    ----------
    stated : dict of str to float
        Source ("header", "sidecar x.json", "tr=") to seconds; "tr=", given by the user, wins.
    where : str
        For messages.

    Raises
    ------
    DataError
        None stated, or two that differ by more than 1 ms.
    UnitError
        An implausible one.

    Examples
    --------
    >>> agree_on_tr({"header": 2.5, "sidecar": 2.5}, "run 1")
    2.5
    """
    if "tr=" in stated:
        stated = {"tr=": stated["tr="]}
    if not stated:
        raise DataError(f"{where}: no TR in the header nor in a sidecar: give it, tr=SECONDS")
    for source, period in stated.items():
        check_period(period, "fmri", f"{where} ({source})")
    if max(stated.values()) - min(stated.values()) > SAME_TR:
        told = ", ".join(f"{source}: {period:g} s" for source, period in stated.items())
        raise DataError(f"{where}: the TR is stated differently ({told}): say which, tr=SECONDS")
    return next(iter(stated.values()))
