"""Rates that the reference networks are known to fire at, and how far a run may lie from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuroai.simulation.models.potjans_diesmann import FULL_RATES, NAMES, SCALED_RATES
from neuroai.simulation.theory import brunel_rate

__all__ = ["Reference", "reference_rates"]


@dataclass(frozen=True)
class Reference:
    """Expected rates.

    Attributes
    ----------
    rates : mapping of population to float
        Spikes/s.
    tolerance : mapping of population to float
        Accepted deviation, as a fraction.
    source : str
        Where they come from, and for which length of run.
    """

    rates: Mapping[str, float]
    tolerance: Mapping[str, float]
    source: str


# 1 s after 100 ms. Conductances in Brian's form: mean over 12 seeds of Brian 2.9.0, which vary by 1.3 (E).
_VOGELS_ABBOTT = {
    ("cuba", "nest"): {"E": 3.78, "I": 3.85},
    ("coba", "nest"): {"E": 14.9, "I": 14.5},
    ("cuba", "brian"): {"E": 5.65, "I": 5.65},
    ("coba", "brian"): {"E": 19.4, "I": 19.4},
}


def reference_rates(name: str, options: Mapping[str, Any]) -> Reference | None:
    """Expected rates of a reference network, None where none are known for its options.

    Parameters
    ----------
    name : str
        ``"potjans-diesmann"``, ``"vogels-abbott"``, ``"brunel"``; others have no reference.
    options : mapping
        Arguments of the network's function.

    Examples
    --------
    >>> reference_rates("brunel", {}).source
    'mean-field theory'
    """
    if name == "potjans-diesmann":
        return _potjans_diesmann(options.get("scale", 1.0), options.get("drive", "poisson"))
    if name == "vogels-abbott":
        kind, form = options.get("kind", "cuba"), options.get("form", "brian")
        peer = "NEST 3.10" if form == "nest" else "Brian 2.9 and 2.10"
        return Reference(_VOGELS_ABBOTT[kind, form], {"E": 0.1, "I": 0.1}, f"{peer}, 1 s after 0.1 s")
    if name == "brunel" and options.get("order", 2500) == 2500:
        return _brunel(options)
    return None


def _potjans_diesmann(scale: float, drive: str) -> Reference | None:
    if scale == 1.0:
        wide = {name: 0.15 if name in ("L23E", "L6E") else 0.1 for name in NAMES}
        return Reference(FULL_RATES, wide, "NEST reference code, one run")
    if scale == 0.1 and drive == "poisson":
        wide = {name: 0.2 if name == "L23E" else 0.08 for name in NAMES}
        return Reference(SCALED_RATES, wide, "independent implementation, 10 s")
    return None


def _brunel(options: Mapping[str, Any]) -> Reference:
    tolerance = {"E": 0.03, "I": 0.03}
    if options.get("synapse", "delta") == "alpha":
        return Reference({"E": 28.96, "I": 28.95}, tolerance, "NEST 3.10, 1 s after 0.2 s")
    known = {key: options[key] for key in ("g", "eta", "reset") if key in options}
    rate = brunel_rate(**known)
    return Reference({"E": rate, "I": rate}, tolerance, "mean-field theory")
