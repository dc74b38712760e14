"""The same synapses from every implementation; their distributions against closed forms."""

import numpy as np
import pytest
import torch
from scipy import stats

from neuroai_kernels.connectivity import (
    Connection,
    constant_delay,
    constant_weight,
    delay_table,
    draw_rows,
    expected_synapses,
    normal_delay,
    normal_weight,
    row_counts,
)
from neuroai_kernels.errors import ShapeError

WEIGHTS, DELAYS = normal_weight(87.8, 8.78, low=0.0), normal_delay(15.0, 7.5, high=63)


@pytest.fixture(params=["cpu", "gpu"])
def form(request):
    """Each implementation beside the reference; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def connect(rule, amount, sources=(0, 40), targets=(0, 50), stream=0, weights=WEIGHTS, delays=DELAYS):
    first, n = sources
    return Connection(rule, amount, first, n, targets[0], targets[1], weights, delays, stream)


def multiset(rows):
    """Every synapse as (source, delay, target, weight), sorted."""
    source = np.repeat(np.arange(rows.n_sources), np.diff(rows.indptr.cpu().numpy()))
    columns = (rows.weights.cpu().numpy(), rows.targets.cpu().numpy(), rows.delays.cpu().numpy(), source)
    order = np.lexsort(columns)
    return [column[order].tolist() for column in columns]


MIXED = [
    connect("fixed_total", 1003, stream=0),
    connect(
        "fixed_outdegree", 7, sources=(40, 21), targets=(50, 13), stream=1, weights=constant_weight(-3.0)
    ),
    connect("fixed_indegree", 5, sources=(3, 50), targets=(20, 31), stream=2, delays=constant_delay(255)),
    connect("bernoulli", 0.13, sources=(10, 33), targets=(0, 63), stream=3),
    connect("fixed_total", 0, stream=4),
    connect("bernoulli", 1.0, sources=(61, 1), targets=(0, 63), stream=5),
    connect("bernoulli", 0.0, stream=6),
]


@pytest.mark.parametrize("seed", [1, 2**63 + 12345])
def test_every_form_draws_the_same_synapses(form, seed):
    expected = draw_rows(MIXED, seed, n_rows=62, n_inputs=63, implementation="reference")
    found = draw_rows(MIXED, seed, n_rows=62, n_inputs=63, implementation=form)
    assert torch.equal(found.indptr, expected.indptr)
    key = found.delays.to(torch.int64) * 1000 + found.targets
    rows = zip(found.indptr, found.indptr[1:], strict=False)
    assert all(bool((key[first:last].diff() >= 0).all()) for first, last in rows)
    for c in MIXED:
        counts = row_counts(c, seed, implementation=form)
        assert torch.equal(counts, row_counts(c, seed, implementation="reference"))
    for name in ("targets", "weights", "delays"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_wide_targets_are_sorted():
    c = connect("fixed_outdegree", 500, sources=(0, 4), targets=(0, 3_000_000))
    rows = draw_rows([c], 3, n_rows=4, n_inputs=3_000_000)
    expected = draw_rows([c], 3, n_rows=4, n_inputs=3_000_000, implementation="reference")
    assert torch.equal(rows.targets, expected.targets)
    assert int(rows.targets.max()) > 2_900_000


def test_a_connection_does_not_depend_on_the_others():
    alone = draw_rows([MIXED[0]], 5, n_rows=62, n_inputs=63)
    other = draw_rows([MIXED[0], MIXED[3]], 5, n_rows=62, n_inputs=63)
    pairs, more = multiset(alone), multiset(other)
    assert set(zip(*pairs, strict=True)) <= set(zip(*more, strict=True))


def test_row_counts_are_multinomial():
    """Potjans and Diesmann's L23E -> L23E at scale 0.02: 414 cells, in-degree as in the full network."""
    n = 414
    total = round(np.log1p(-0.1009) / np.log1p(-1 / n**2))
    counts = torch.stack(
        [row_counts(connect("fixed_total", total, (0, n), (0, n), stream=s), 7) for s in range(20)]
    ).double()
    assert counts.sum(1).tolist() == [total] * 20
    mean, variance = total / n, total / n * (1 - 1 / n)
    assert counts.mean().item() == pytest.approx(mean)
    # The sum of squared deviations is close to chi-squared with 20 (n - 1) degrees of freedom.
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], 20 * (n - 1)) / (20 * n)
    assert low < float(((counts - mean) ** 2).mean()) / variance < high


def test_targets_weights_and_delays_follow_their_distributions():
    c = connect("fixed_outdegree", 2000, sources=(0, 50), targets=(0, 100), weights=normal_weight(0, 1))
    rows = draw_rows([c], 11, n_rows=50, n_inputs=100)
    targets = np.bincount(rows.targets.numpy(), minlength=100)
    assert stats.chisquare(targets).pvalue > 1e-4
    deviates = rows.weights.double().numpy()
    assert abs(deviates.mean()) < 4 / np.sqrt(len(deviates))
    assert deviates.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(deviates)))
    grid = np.linspace(-3, 3, 49)
    found = np.searchsorted(np.sort(deviates), grid) / len(deviates)
    assert np.abs(found - stats.norm.cdf(grid)).max() < 1.95 / np.sqrt(len(deviates))
    delays = np.bincount(rows.delays.numpy(), minlength=64)
    edges = stats.norm.cdf((np.arange(1, 33) - 0.5 - 15) / 7.5)
    expected = np.diff(np.concatenate([[0], edges[1:], [1]])) * delays.sum()
    observed = np.concatenate([delays[1:32], [delays[32:].sum()]])
    assert stats.chisquare(observed, expected).pvalue > 1e-4
    assert abs(np.corrcoef(deviates, rows.delays.numpy())[0, 1]) < 4 / np.sqrt(len(deviates))


@pytest.mark.parametrize("p", [0.003, 0.2, 0.9])
def test_bernoulli_pairs_are_independent(p):
    c = connect("bernoulli", p, sources=(0, 300), targets=(0, 400))
    rows = draw_rows([c], 13, n_rows=300, n_inputs=400)
    counts = rows.indptr.diff().double().numpy()
    assert rows.n_synapses == pytest.approx(expected_synapses(c), abs=4 * np.sqrt(120_000 * p * (1 - p)))
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], 299) / 299
    assert low < counts.var(ddof=1) / (400 * p * (1 - p)) < high
    pairs = np.repeat(np.arange(300), np.diff(rows.indptr.numpy())) * 400 + rows.targets.numpy()
    assert len(np.unique(pairs)) == len(pairs)


def test_fixed_indegree_is_exact():
    c = connect("fixed_indegree", 17, sources=(5, 100), targets=(3, 40))
    rows = draw_rows([c], 13, n_rows=200, n_inputs=43)
    assert np.bincount(rows.targets.numpy(), minlength=43).tolist() == [0] * 3 + [17] * 40
    assert int(rows.indptr[5]) == 0
    assert int(rows.indptr[105]) == rows.n_synapses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "small_world"}, "expected one of fixed_total"),
        ({"rule": "bernoulli", "amount": 1.5}, "expected a probability"),
        ({"amount": 2.5}, "expected a number of synapses"),
        ({"weights": np.ones(4, np.float32)}, "expected a table"),
        ({"delays": np.zeros(2048, np.uint8)}, "delay 0"),
        ({"sources": (0, 0)}, "at least one"),
        ({"stream": 1 << 24}, "expected 0 to"),
    ],
)
def test_connections_that_cannot_be_drawn(change, message):
    with pytest.raises(ShapeError, match=message):
        connect(**{"rule": "fixed_outdegree", "amount": 3, **change})


def test_networks_that_do_not_fit():
    with pytest.raises(ShapeError, match="share their random numbers"):
        draw_rows([MIXED[0], MIXED[0]], 1, n_rows=62, n_inputs=63)
    with pytest.raises(ShapeError, match="30 rows"):
        draw_rows([MIXED[0]], 1, n_rows=30, n_inputs=63)
    with pytest.raises(ShapeError, match="expected 1 to 255"):
        delay_table(lambda z: 300 + z)
