"""Track an animal's place through a stretch of spikes: a hidden Markov model over places, from few labels."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.kernels import StatePosterior, forward_backward

__all__ = ["PlaceTracker"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# All lengths are in root mean square distances of the labels from their mean.
_LABEL = 0.04  # how exactly a labelled window lies at its place
_START = 0.6  # around a label, where windows near it in the map may lie at first
_NEAR = 0.5  # squared distance in the map that is near, in medians
_SAMPLE = 2000  # windows, of which the median is taken
_ELSEWHERE = 0.02  # weight of all places for a window that no label is near
_WIDE = 3.0  # smoothing of rate maps of labelled windows alone, beside that of all
_VAGUE = 0.6  # weight of the likelihoods that those give
_MARGIN = 0.15  # how far places reach beyond those first found
_VISITS = 0.3  # windows at the mean rate that every state is given beforehand: no spike is impossible
_RAREST = 1e-3  # spikes a window


class PlaceTracker:
    r"""Decode places that are hidden states: animals move on, and turn, at a known pace.

    A state is one of ``n_places`` places and one of two directions of travel along the main axis of the
    places, as cells on a track have other fields there and back. Spikes are Poisson given the state,

    .. math:: \log p(y_t \mid s) = \text{power} \sum_n y_{tn} \log \lambda_{sn} - \lambda_{sn},
              \qquad p(x' \mid x, d) \propto \exp -\frac{\lVert x' - x - d v \rVert^2}{2 \sigma^2},

    and :math:`\lambda` is learned by expectation maximisation over all windows, most of which have no label;
    those that do are held at their place. Rate maps are smoothed over places after each round. Windows that
    are left out between two others count as rest: the animal keeps its place (within
    :math:`\sigma`), and may have turned.

    Parameters
    ----------
    n_places : int
    speed : float
        :math:`v` a window, in root mean square distances of labels from their mean, as all lengths here.
    spread : float
        :math:`\sigma`.
    persistence : float
        Probability of going on in the same direction, a window.
    smoothing : float
        Standard deviation of the Gaussian over rate maps.
    power : float
        Below 1 for spikes that are less independent than the model has it.
    rounds : int
        Of expectation maximisation. Likelihoods count in full in the last one only, less in earlier ones,
        whose maps are still vague; without rounds the maps are those of the windows near labels.
    seed : int
        Of the choice of places.

    Raises
    ------
    ConfigError
        If a setting is out of range.

    Attributes
    ----------
    places_ : ndarray (n_places, n_dimensions)
    rates_ : ndarray (2, n_places, n_units)
        Expected count a window, for both directions.
    log_likelihood_ : list of float
        Of all windows, with the labels, by round.

    Notes
    -----
    ``O(rounds * n_windows * n_places * (4 n_places + 2 n_units))`` time, ``O(n_windows * n_places)`` memory.
    Sources: Brown et al. (1998) and Zhang et al. (1998) for decoding with continuity; Denovellis et al.
    (2021) for states of place and movement; Baum et al. (1970) for the rounds; Silverman et al. (1990) for
    smoothing after each.

    Examples
    --------
    >>> t = np.arange(400)
    >>> x = 50 * np.abs((t / 20) % 2 - 1)  # to and fro
    >>> rates = 3 * np.exp(-0.5 * ((x[:, None] - np.linspace(0, 50, 12)) / 5) ** 2)
    >>> y = np.random.default_rng(0).poisson(rates)
    >>> labelled = [3, 60, 109, 131, 190, 222, 295]
    >>> tracker = PlaceTracker(20).fit(y[:300], t[:300], labelled, x[labelled][:, None], np.sqrt(y[:300]))
    >>> bool(np.median(np.abs(tracker.predict(y[300:], t[300:])[:, 0] - x[300:])) < 5)
    True
    """

    def __init__(
        self,
        n_places: int = 80,
        *,
        speed: float = 0.16,
        spread: float = 0.12,
        persistence: float = 0.95,
        smoothing: float = 0.1,
        power: float = 0.7,
        rounds: int = 10,
        seed: int = 0,
    ) -> None:
        if n_places < 2 or rounds < 0 or not 0 <= persistence <= 1 or min(spread, smoothing, power) <= 0:
            raise ConfigError(
                f"n_places = {n_places}, rounds = {rounds}, persistence = {persistence}, spread = {spread}, "
                f"smoothing = {smoothing}, power = {power}: expected at least 2, at least 0, 0 to 1, above 0"
            )
        self.n_places, self.speed, self.spread, self.persistence = n_places, speed, spread, persistence
        self.smoothing, self.power, self.rounds, self.seed = smoothing, power, rounds, seed

    def fit(
        self, counts: ArrayLike, moment: ArrayLike, labelled: ArrayLike, place: ArrayLike, points: ArrayLike
    ) -> Self:
        """Learn rate maps from all windows and the places of a few.

        Parameters
        ----------
        counts : array-like (n_windows, n_units)
            Spikes of all windows.
        moment : array-like of int (n_windows,)
            Numbers of the windows in time, ascending.
        labelled : array-like of int (n_labels,)
            Which windows have a place.
        place : array-like (n_labels, n_dimensions)
        points : array-like (n_windows, m)
            A map, as of :class:`~neuroai.neuroformer.time_contrast.TimeContrast`: windows near a labelled
            one start near its place.

        Raises
        ------
        DataError
            If moments do not increase, counts are negative, or a window has two places.
        """
        y, known = np.asarray(counts, dtype=np.float64), np.asarray(labelled, dtype=np.int64)
        z, x = np.asarray(points, dtype=np.float64), np.asarray(place, dtype=np.float64)
        steps = _steps(y, moment)
        _check(y, known, x, z)
        self._lay_out(z, known, x)
        held = np.zeros((len(y), self.n_states_))
        held[known] = self._near(x, _LABEL)
        self._maximise(_normalised(held[known]), y[known], _WIDE * self.smoothing)
        guess = self._near_in_map(z, known, x) + _VAGUE * self._log_likelihood(y)
        self._maximise(self._infer(guess + held, steps).smoothed, y, self.smoothing)
        self.log_likelihood_: list[float] = []
        for turn in range(self.rounds):
            warmth = (turn + 1) / self.rounds
            found = self._infer(warmth * self._log_likelihood(y) + held, steps)
            self.log_likelihood_.append(found.log_likelihood)
            self._maximise(found.smoothed, y, self.smoothing)
        return self

    def posterior(self, counts: ArrayLike, moment: ArrayLike, *, causal: bool = False) -> Array:
        """Probability (n_windows, n_places) of each place.

        Given all windows of the stretch, or, if ``causal``, those up to the window itself.
        """
        y = np.asarray(counts, dtype=np.float64)
        steps = _steps(y, moment)
        if y.shape[1] != self.rates_.shape[2]:
            raise ShapeError(f"counts {y.shape}: expected {self.rates_.shape[2]} units, as in training")
        found = self._infer(self._log_likelihood(y), steps)
        states = found.filtered if causal else found.smoothed
        return np.asarray(states.reshape(len(y), 2, -1).sum(axis=1))

    def predict(self, counts: ArrayLike, moment: ArrayLike, *, causal: bool = False) -> Array:
        """Mean place (n_windows, n_dimensions) under :meth:`posterior`."""
        return np.asarray(self.posterior(counts, moment, causal=causal) @ self.places_)

    def _lay_out(self, z: Array, known: Integers, x: Array) -> None:
        """Places where the animal may be, and how it gets from one to another."""
        from sklearn.cluster import KMeans

        from neuroai.neuroformer.frozen import FrozenDecoder

        guess = FrozenDecoder("series").fit(z[known], x).predict(z)
        centre = guess.mean(axis=0)
        # Of labels: what is read from few of them shrinks towards their mean.
        self._length = float(np.sqrt(x.var(axis=0, ddof=1).sum())) or 1.0
        around = np.concatenate([centre + (1 + _MARGIN) * (guess - centre), guess, x, x])
        n = min(self.n_places, len(np.unique(around, axis=0)))
        self.places_: Array = KMeans(n, n_init=1, random_state=self.seed).fit(around).cluster_centers_
        axis = np.linalg.svd(guess - centre, full_matrices=False)[2][0]
        ahead = self.speed * self._length * axis
        stay, turn = self.persistence, 1 - self.persistence
        there, back, rest = (self._moves(by) for by in (ahead, -ahead, 0 * ahead))
        run = np.block([[stay * there, turn * there], [turn * back, stay * back]])
        self._transitions = np.stack([run, np.tile(rest / 2, (2, 2))])
        self.n_states_ = 2 * n

    def _moves(self, by: Array) -> Array:
        p = np.exp(self._gaussian(self.places_ + by, self.spread)) + 1e-12
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def _gaussian(self, x: Array, sd: float) -> Array:
        """Unnormalised log density (n, n_places) of places around each ``x``."""
        from scipy.spatial.distance import cdist

        return np.asarray(-0.5 * cdist(x, self.places_, "sqeuclidean") / (sd * self._length) ** 2)

    def _near(self, x: Array, sd: float) -> Array:
        return np.tile(self._gaussian(x, sd), (1, 2))

    def _near_in_map(self, z: Array, known: Integers, x: Array) -> Array:
        """Log evidence (n_windows, n_states) from labelled windows that are near in the map."""
        from scipy.spatial.distance import cdist

        some = z[:: -(-len(z) // _SAMPLE)]
        usual = float(np.median(cdist(some, some, "sqeuclidean"))) or 1.0
        near = np.exp(-cdist(z, z[known], "sqeuclidean") / (_NEAR * usual))
        around = _normalised(self._near(x, _START))
        return np.asarray(np.log(near @ around + _ELSEWHERE / self.n_states_))

    def _infer(self, seen: Array, steps: Integers) -> StatePosterior:
        n = self.n_states_
        return forward_backward(seen, self._transitions, np.full(n, 1 / n), steps)

    def _maximise(self, states: Array, y: Array, smoothing: float) -> None:
        by_place = states.reshape(len(y), 2, -1)
        near = np.exp(self._gaussian(self.places_, smoothing))
        visits = near @ by_place.sum(axis=0)[:, :, None]
        spikes = near @ np.einsum("tdx,tn->dxn", by_place, y)
        prior = _VISITS * np.maximum(y.mean(axis=0), _RAREST)
        self.rates_: Array = (spikes + prior) / (visits + _VISITS)

    def _log_likelihood(self, y: Array) -> Array:
        rates = self.rates_.reshape(self.n_states_, -1)
        return np.asarray(self.power * (y @ np.log(rates).T - rates.sum(axis=1)))


def _normalised(logs: Array) -> Array:
    from scipy.special import softmax

    return np.asarray(softmax(logs, axis=1))


def _steps(y: Array, moment: ArrayLike) -> Integers:
    """Kind of each step: 0 to the next window, 1 over windows that were left out."""
    time = np.asarray(moment, dtype=np.int64)
    if y.ndim != 2 or not len(y) or time.shape != (len(y),):
        raise ShapeError(
            f"counts {y.shape}, moment {time.shape}: expected (n_windows, n_units), (n_windows,)"
        )
    if not np.isfinite(y).all() or (y < 0).any():
        raise DataError("counts: expected numbers of spikes, found negative or missing ones")
    if (np.diff(time) <= 0).any():
        raise DataError("moments must increase: sort windows by time, each once")
    return (np.diff(time) > 1).astype(np.int64)


def _check(y: Array, known: Integers, x: Array, z: Array) -> None:
    if z.ndim != 2 or len(z) != len(y) or x.ndim != 2 or known.shape != (len(x),):
        raise ShapeError(
            f"counts {y.shape}, labelled {known.shape}, place {x.shape}, points {z.shape}: expected "
            "(n, n_units), (k,), (k, n_dimensions), (n, m)"
        )
    if len(known) < 2 or known.min() < 0 or known.max() >= len(y) or len(np.unique(known)) < len(known):
        raise DataError(f"labelled: expected two or more different windows among {len(y)}, each once")
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        raise DataError("place, points: expected finite numbers, found missing ones")
