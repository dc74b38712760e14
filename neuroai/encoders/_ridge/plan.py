"""What a fit will cost, decided before it starts."""

import re
from dataclasses import dataclass
from typing import Literal

from neuroai.encoders._ridge.folds import Fold
from neuroai.encoders._ridge.paths import BLOCK, chunk_rows
from neuroai.errors import MemoryBudgetError

Form = Literal["primal", "dual"]
#: Working set without a wish of the user's, unless the decompositions alone ask for more.
DEFAULT_MEMORY = 2**28
#: Targets a block, at least: fewer make every product a matrix-vector product.
FEWEST_TARGETS = 64
_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_memory(memory: int | str) -> int:
    """Bytes of a size such as ``"256MiB"``, ``"4 GB"`` or a number of bytes.

    Raises
    ------
    ValueError
        If it is not a positive size.

    Examples
    --------
    >>> parse_memory("256MiB")
    268435456
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(memory))
    if match is None or match[2].lower() not in _UNITS or float(match[1]) <= 0:
        raise ValueError(f"memory={memory!r}: expected a positive size such as '256MiB', '4GB' or bytes")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def choose_form(
    n_samples: int, n_features: int, n_targets: int, folds: list[Fold] | None, n_alphas: int
) -> Form:
    """The form with fewer operations.

    Notes
    -----
    Counts the Gram or kernel matrix, one eigendecomposition (9 r³) a fold and one for the refit, the
    coordinates of all targets, and ``n_alphas / 3`` products a fold (see ``select.py``).
    """
    sizes = [(f.n_train, f.n_test) for f in folds] if folds else [(n_samples, n_samples)]
    primal = 2.0 * n_samples * n_features**2 + 9.0 * n_features**3
    dual = 2.0 * n_samples**2 * n_features + 9.0 * n_samples**3
    for n_train, n_test in sizes:
        primal += 9.0 * n_features**3 + 2.0 * n_features * n_targets * (n_test + n_features)
        primal += 2.0 * n_alphas / 3 * n_features * min(n_test, n_features) * n_targets
        dual += 9.0 * n_train**3 + 2.0 * n_train**2 * n_targets
        dual += 2.0 * n_alphas / 3 * n_train * min(n_test, n_train) * n_targets
    return "primal" if primal <= dual else "dual"


@dataclass(frozen=True)
class Plan:
    """How a fit is laid out.

    Attributes
    ----------
    form : "primal" or "dual"
    block : int
        Targets in memory at a time.
    fixed_bytes : int
        Fold decompositions, independent of the number of targets.
    block_bytes : int
        Working set of one block.
    memory : int or None
        The budget they were fitted into.
    """

    form: Form
    block: int
    fixed_bytes: int
    block_bytes: int
    memory: int | None


def plan_fit(
    n_samples: int,
    n_features: int,
    n_targets: int,
    n_alphas: int,
    folds: list[Fold] | None,
    itemsize: int,
    memory: int | None,
) -> Plan:
    """Choose the form and the number of targets a block, so that the working set stays within ``memory``.

    The fold decompositions come first; what they leave goes to blocks of targets, at least 64 targets.
    Without ``memory`` that is 256 MiB, or what is needed if that is more.

    Raises
    ------
    MemoryBudgetError
        If ``memory`` cannot hold the decompositions and the smallest block.
    """
    form = choose_form(n_samples, n_features, n_targets, folds, n_alphas)
    n_folds = len(folds) if folds else 1
    rank = (
        [n_features if form == "primal" else f.n_train for f in folds]
        if folds
        else [min(n_features, n_samples)]
    )
    held = [f.n_test for f in folds] if folds else [n_samples]
    largest = max(n_features if form == "primal" else n_samples, *rank)
    # basis, u and factor a fold; the Gram matrix, and four of its size inside an eigendecomposition.
    fixed = sum(r * r + h * r + min(h, r) * r for r, h in zip(rank, held, strict=True)) + 5 * largest**2
    # centred features: a chunk of rows (primal) or of columns (dual, twice); the held-out ones of a fold.
    chunk = min(n_samples, chunk_rows(n_features)) * n_features
    fixed += chunk + max(held) * n_features if form == "primal" else 2 * n_samples * min(n_features, BLOCK)
    # targets as read, centred and of the rows of a fold; coordinates of every fold; moments and the refit;
    # curves a fold, and the copies that comparing contenders takes.
    a_target = 3 * n_samples + sum(rank) + 4 * max(rank) + 16 * n_folds * n_alphas + 8 * n_alphas
    fewest = min(FEWEST_TARGETS, n_targets)
    needed = (fixed + fewest * a_target) * itemsize
    if memory is not None and needed > memory:
        raise MemoryBudgetError(
            f"ridge of {n_samples} samples x {n_features} features in {n_folds} fold(s) needs "
            f"{needed / 2**20:.4g} MiB above the data ({fixed * itemsize / 2**20:.4g} MiB for the "
            f"decompositions, the rest for {fewest} targets), but memory={memory / 2**20:.4g} MiB: "
            "give it more, or use fewer folds or features"
        )
    left = (max(memory or DEFAULT_MEMORY, needed) - fixed * itemsize) // (a_target * itemsize)
    block = int(min(n_targets, left))
    return Plan(form, block, fixed * itemsize, block * a_target * itemsize, memory)
