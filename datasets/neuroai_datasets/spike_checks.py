"""Defects of spike times: order, repeats, sign, NaN, clock resets, and times in another unit than seconds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError, UnitError

Times = npt.NDArray[np.float64]

ENOUGH = 20  # spikes below which a train says nothing about its unit
DAY = 86_400.0
YEAR = 365.25 * DAY
_CANDIDATES = {"ms": 1e3, "us": 1e6, "ns": 1e9, "samples@30000": 3e4}
_TYPICAL_INTERVAL = 0.05  # seconds between spikes of the busiest unit of a session


def check_train(
    times: Times, unit: int, *, repair: bool, resolution: float | None, interval: tuple[float, float] | None
) -> Times:
    """One unit's times, ascending, or an error that names the first defect.

    Parameters
    ----------
    times : ndarray (n,)
        Seconds.
    unit : int
        Number used in messages.
    repair : bool
        Sort times that descend.
    resolution : float, optional
        Seconds; allows equal times.
    interval : (start, stop), optional
        Seconds; times outside are refused.

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    DataError
        For NaN, negative, outside, descending or equal times.
    """
    if times.ndim != 1:
        raise DataError(f"unit {unit}: spike times have shape {times.shape}, expected one axis")
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        raise DataError(f"unit {unit}: {bad.size} spike times are NaN or Inf, first at index {int(bad[0])}")
    if interval is None:
        bad = np.flatnonzero(times < 0)
        if bad.size:
            raise DataError(
                f"unit {unit}: {bad.size} spike times are negative, first {times[bad[0]]} s at index "
                f"{int(bad[0])} "
                "(-1 often marks a missing spike): remove them, or declare interval=(start, stop)"
            )
    else:
        bad = np.flatnonzero((times < interval[0]) | (times > interval[1]))
        if bad.size:
            raise DataError(
                f"unit {unit}: {bad.size} spike times lie outside the interval {interval} s, first "
                f"{times[bad[0]]} s "
                f"at index {int(bad[0])}: correct the interval or the unit"
            )
    down = np.flatnonzero(np.diff(times) < 0) + 1
    if down.size:
        times = _sorted(times, down, unit, repair)
    same = np.flatnonzero(np.diff(times) == 0) + 1
    if same.size and resolution is None:
        raise DataError(
            f"unit {unit}: {same.size} spike times are duplicated, first {times[same[0]]} s at index "
            f"{int(same[0])}: "
            "remove the copies, or declare the clock's resolution= in seconds"
        )
    return times


def _sorted(times: Times, down: npt.NDArray[np.intp], unit: int, repair: bool) -> Times:
    first = int(down[0])
    if down.size == 1 and _is_reset(times, first):
        raise DataError(
            f"unit {unit}: times restart at index {first} ({times[first - 1]} s, then {times[first]} s): two "
            "clocks "
            "were joined, and sorting would mix them. Add the second part's offset"
        )
    if not repair:
        raise DataError(
            f"unit {unit}: spike times descend {down.size} times, first at index {first} ({times[first - 1]} "
            "s, then "
            f"{times[first]} s): repair='sort' orders them"
        )
    return np.sort(times, kind="stable")


def _is_reset(times: Times, index: int) -> bool:
    """Two ascending parts of some length, the second starting over near the first one's start."""
    shorter = min(index, len(times) - index)
    span = times[index - 1] - times[0]
    return shorter >= max(ENOUGH // 2, len(times) // 20) and times[index] - times[0] < 0.25 * span


def check_unit(trains: Sequence[Times]) -> None:
    """Refuse times that cannot be seconds.

    Parameters
    ----------
    trains : sequence of ndarray
        Times that are claimed to be seconds.

    Raises
    ------
    UnitError
        When all times are whole numbers (sample indices, or integer milliseconds), when the recording would
        span over a year, or when the busiest unit would fire faster than neurons can (median interval < 0.1
        ms, or > 500 Hz throughout a recording of < 10 s) or slower than any recorded unit (median interval >
        60 s, or > 2 s over more than a day). Fewer than 20 spikes are not judged.

    Notes
    -----
    A short recording alone is no sign of a wrong unit, so a span under 10 s counts only together with an
    impossible rate. O(n_spikes).
    """
    finite = [t[np.isfinite(t)] for t in trains if t.ndim == 1]
    if sum(len(t) for t in finite) < ENOUGH:
        return
    everything = np.concatenate(finite)
    span = float(everything.max() - everything.min())
    intervals = [float(np.median(np.abs(np.diff(t)))) for t in finite if len(t) >= ENOUGH]
    busiest = min(intervals) if intervals else None
    reason = _why_not_seconds(everything, span, busiest)
    if reason is None:
        return
    hint = _suggest(span, busiest if busiest is not None else span / len(everything))
    raise UnitError(
        f"spike times do not look like seconds: {reason}. Suggested: unit={hint!r}; give unit='s' if they "
        "are seconds"
    )


def _why_not_seconds(times: Times, span: float, busiest: float | None) -> str | None:
    if (times == np.rint(times)).all() and np.ptp(times) > 1:
        return f"all {len(times)} are whole numbers (sample indices?)"
    if span > YEAR:
        return f"they span {span / YEAR:.1f} years"
    if busiest is None:
        return None
    if busiest < 1e-4:
        return f"the busiest unit's median interval is {busiest * 1e3:.3g} ms"
    if span < 10 and busiest < 2e-3:
        return f"the busiest unit fires every {busiest * 1e3:.3g} ms within {span:.3g} s"
    if busiest > 3600 or busiest > 60 or (span > DAY and busiest > 2):
        return f"the busiest unit's median interval is {busiest:.3g} s over {span:.3g} s"
    return None


def _suggest(span: float, interval: float) -> str:
    """The unit that brings the interval nearest to a typical one."""
    candidates = _CANDIDATES if interval > _TYPICAL_INTERVAL else {"min": 1 / 60, "h": 1 / 3600}
    distances = {
        name: abs(np.log10(max(interval, 1e-12) / per_second / _TYPICAL_INTERVAL))
        for name, per_second in candidates.items()
        if span / per_second > 0.5
    }
    return min(distances, key=lambda name: distances[name]) if distances else "ms"
