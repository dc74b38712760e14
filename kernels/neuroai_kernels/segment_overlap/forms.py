"""Which form is quickest: a cost model with measured constants.

Time of each form is the sum of its accesses times a measured time an access, in nanoseconds:

* gather: ``ceil(B / 8) S L`` look-ups (on one row, its own constant); for more than eight rows, where these
  have been measured, ``ceil(B / 64) S L`` look-ups of words and ``B S`` counts read from their digits;
* mask: ``B S ceil(n / 32)`` words;
* event: ``B S`` counters cleared, ``B n`` cells visited, one addition for each listener of an active cell.

``benchmarks/dendrite_kernels.py`` measures the constants and checks the choice they lead to.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from neuroai_kernels.errors import ShapeError

__all__ = ["COSTS", "Costs", "Form", "quickest_form", "require_form"]

Form = Literal["gather", "mask", "event"]


@dataclass(frozen=True)
class Costs:
    """Nanoseconds an access."""

    gather_one: float
    gather_eight: float
    mask: float
    clear: float
    visit: float
    event: float
    gather_word: float | None = None
    count: float = 0.0

    def gather(self, n_rows: int, look_ups: int, n_segments: int) -> float:
        """Nanoseconds of the gather form; ``look_ups`` is S L."""
        if n_rows == 1:
            return self.gather_one * look_ups
        if n_rows <= 8 or self.gather_word is None:
            return self.gather_eight * look_ups * -(-n_rows // 8)
        return self.gather_word * look_ups * -(-n_rows // 64) + self.count * n_rows * n_segments


#: One core of a server processor (2026), and an H100.
COSTS = {
    "cpu": Costs(
        gather_one=0.4,
        gather_eight=0.9,
        mask=0.3,
        clear=0.35,
        visit=0.3,
        event=1.8,
        gather_word=1.15,
        count=0.8,
    ),
    "cuda": Costs(
        gather_one=0.0014,
        gather_eight=0.0021,
        mask=0.0009,
        clear=0.0015,
        visit=0.69,
        event=0.04,
        gather_word=0.006,
    ),
}


def quickest_form(
    device: str, n_rows: int, n: int, n_segments: int, n_slots: int, n_additions: float
) -> Form:
    """The form with the least predicted time.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".
    n_rows, n, n_segments, n_slots : int
        B, cells, S, L.
    n_additions : float
        Listeners of active cells, over all rows: activity times synapses times rows. Infinite when not known.
    """
    costs = COSTS.get(device, COSTS["cpu"])
    times: dict[Form, float] = {
        "gather": costs.gather(n_rows, n_segments * n_slots, n_segments),
        "mask": costs.mask * n_rows * n_segments * -(-n // 32),
        "event": n_rows * (costs.clear * n_segments + costs.visit * n) + costs.event * n_additions,
    }
    return min(times, key=lambda form: times[form])


def require_form(form: str) -> None:
    """Raise unless ``form`` names one."""
    if form not in get_args(Form):
        raise ShapeError(f"form={form!r}: expected one of {', '.join(get_args(Form))}")
