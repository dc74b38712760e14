"""A circuit in which a few hubs each drive many followers: a test of directed connectivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuroai_datasets.errors import DataError
from neuroai_datasets.simulators.truth import with_truth

if TYPE_CHECKING:
    from neuroai_datasets.recording import Recording

BIN = 0.01
_BASE_HUB, _BASE_FOLLOWER = 0.05, 0.01
_FILTER = np.array([0.5, 0.3, 0.2])


def simulate_hub(
    n_bins: int = 60_000,
    *,
    n_units: int = 300,
    n_hubs: int = 6,
    coupling: float = 0.3,
    seed: int = 0,
) -> Recording:
    r"""Simulate hubs 0 .. n_hubs - 1 and followers; follower ``i`` listens to hub ``i mod n_hubs``.

    .. math:: \lambda_i(t) = b_i + c \sum_{k=1}^{3} h_k\, s_{g(i)}(t - k), \quad h = (0.5, 0.3, 0.2), \qquad
              P(s_i(t) = 1) = 1 - e^{-\lambda_i(t)}

    with ``b`` 0.05 for hubs and 0.01 for followers, in bins of 10 ms. Hubs have no input.

    Parameters
    ----------
    n_bins : int
        Bins, at least 1.
    n_units, n_hubs : int
        Neurons in all, and hubs among them, at least 1 and fewer than ``n_units``.
    coupling : float
        ``c``, 0 or more.
    seed : int
        Same seed, same recording.

    Returns
    -------
    Recording
        A spike at the middle of each bin that has one. The group ``/truth`` holds ``edges``
        (target, source; bool), ``hub`` (unit; -1 for hubs) and ``base`` (unit; events a bin).

    Raises
    ------
    DataError
        If an argument is out of range.

    Notes
    -----
    O(n_bins * n_units) time, one byte each of memory. Rates with the defaults: 0.0487 spikes a bin for a hub,
    0.0235 for a follower.

    Examples
    --------
    >>> recording = simulate_hub(200)
    >>> recording.spikes.n_units, int(recording.tree["truth"]["edges"].sum())
    (300, 294)
    """
    if n_bins < 1 or not 1 <= n_hubs < n_units or coupling < 0:
        raise DataError(
            f"{n_bins} bins, {n_hubs} hubs of {n_units} units, coupling {coupling}: expected at least 1 bin, "
            "1 <= hubs < units, coupling >= 0"
        )
    from neuroai_datasets.recording import Recording

    rng = np.random.default_rng(seed)
    followers = np.arange(n_hubs, n_units)
    hub = np.concatenate([np.full(n_hubs, -1), followers % n_hubs])
    spikes = np.zeros((n_bins, n_units), dtype=np.bool_)
    spikes[:, :n_hubs] = rng.random((n_bins, n_hubs)) < -np.expm1(-_BASE_HUB)
    drive = np.zeros((n_bins, n_hubs))
    for lag, weight in enumerate(_FILTER[: n_bins - 1], start=1):
        drive[lag:] += weight * spikes[:-lag, :n_hubs]
    # Nothing feeds back onto hubs, so followers are drawn for all bins at once, hub by hub.
    for number in range(n_hubs):
        mine = followers[hub[followers] == number]
        chance = -np.expm1(-(_BASE_FOLLOWER + coupling * drive[:, number]))
        spikes[:, mine] = rng.random((n_bins, len(mine))) < chance[:, None]
    edges = np.zeros((n_units, n_units), dtype=np.bool_)
    edges[followers, hub[followers]] = True
    recording = Recording.from_spikes(
        [(np.flatnonzero(spikes[:, unit]) + 0.5) * BIN for unit in range(n_units)],
        name="simulated hub circuit",
        unit="s",
        interval=(0.0, n_bins * BIN),
        attrs={
            "title": "Simulated circuit of hubs and followers",
            "modality": "spikes",
            "provenance": [f"simulate_hub({n_bins}, coupling={coupling}, seed={seed})"],
        },
    )
    base = np.where(np.arange(n_units) < n_hubs, _BASE_HUB, _BASE_FOLLOWER)
    return with_truth(
        recording,
        {"edges": (("target", "source"), edges), "hub": (("unit",), hub), "base": (("unit",), base)},
    )
