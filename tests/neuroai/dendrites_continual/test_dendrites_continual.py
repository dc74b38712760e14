"""Continual learning: tasks and their prototypes, networks side by side, protection against closed forms."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from neuroai.dendrites.continual import (
    METHODS,
    PUBLISHED,
    ContextClassifier,
    ElasticWeights,
    ImageSet,
    PermutedTasks,
    Recipe,
    SynapticIntelligence,
    gaps,
    learn_in_sequence,
    load_images,
    mean_over_seeds,
    recipe,
)
from neuroai.dendrites.continual.experiment import make_network, measured_after
from neuroai.dendrites.continual.networks import SideBySide
from neuroai.dendrites.continual.optimizer import BlockAdam
from neuroai.errors import ConfigError


@pytest.fixture(scope="module")
def easy() -> ImageSet:
    """Three classes, each a bright quarter of 16 pixels: learned in a few steps."""
    stream = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    images = 0.2 * torch.rand(120, 16, generator=stream)
    for place in range(4):
        images[torch.arange(120), 4 * labels + place] += 0.8
    return ImageSet("easy", images, labels, n_train=90)


def test_digits_are_divided_without_overlap() -> None:
    digits = load_images("digits")
    train, test = digits.split(3)
    assert (len(train), len(test), digits.n_classes) == (1437, 360, 10)
    assert sorted(torch.cat([train, test]).tolist()) == list(range(1797))
    assert not torch.equal(train, digits.split(4)[0])
    assert 0 <= float(digits.images.min()) < float(digits.images.max()) == 1


def test_an_official_split_is_kept(easy: ImageSet) -> None:
    official = ImageSet("easy", easy.images, easy.labels, n_train=90, official=True)
    train, test = official.split(1)
    assert sorted(train.tolist()) == list(range(90))
    assert test.tolist() == list(range(90, 120))


def test_tasks_permute_pixels_and_nothing_else(easy: ImageSet) -> None:
    tasks = PermutedTasks(easy, 3, seeds=[5, 6])
    (x0, y0), (x1, y1) = tasks.test(0), tasks.test(1)
    assert torch.equal(y0, y1)
    assert not torch.equal(x0, x1)
    torch.testing.assert_close(x0.sort(dim=2).values, x1.sort(dim=2).values)
    # Seeds draw their own permutations and pictures.
    assert not torch.equal(tasks.prototypes[0], tasks.prototypes[1])


def test_a_prototype_is_the_mean_training_picture(easy: ImageSet) -> None:
    tasks = PermutedTasks(easy, 3, seeds=[5, 6])
    for task in range(3):
        x, _, context = tasks.training(task)[torch.arange(90)]
        torch.testing.assert_close(context[:, 0], x.mean(1))
        assert x.flatten(1).mean(1).abs().max() < 1e-5
        torch.testing.assert_close(x.flatten(1).std(1), torch.ones(2))


def test_the_nearest_prototype_is_by_distance(easy: ImageSet) -> None:
    tasks = PermutedTasks(easy, 4, seeds=[5])
    x, _ = tasks.test(2)
    expected = torch.cdist(x[0], tasks.prototypes[0]).argmin(1)
    assert torch.equal(tasks.nearest_prototype(x, 4)[0], expected)
    assert int(tasks.nearest_prototype(x, 2).max()) <= 1


@pytest.mark.parametrize("method", ["dendrites", "dendrites-relu", "mlp"])
def test_a_seed_learns_alone_what_it_learns_beside_others(easy: ImageSet, method: str) -> None:
    settings = Recipe(16, 2, 1e-2, 30, winners=0.25)
    together = learn_in_sequence(PermutedTasks(easy, 2, [1, 2]), method, settings, [1, 2])
    alone = learn_in_sequence(PermutedTasks(easy, 2, [2]), method, settings, [2])
    np.testing.assert_allclose(together.accuracy[1], alone.accuracy[0], atol=0.04)


def test_networks_side_by_side_get_their_own_gradients() -> None:
    networks = [ContextClassifier(6, 8, 3, segments=2, winners=0.5, seed=seed) for seed in (0, 1)]
    x, context = torch.randn(2, 5, 6), torch.randn(2, 1, 6)
    both = SideBySide(networks)
    both(x, context).square().sum().backward()
    for index, network in enumerate(networks):
        network(x[index], context[index]).square().sum().backward()
        for stacked, single in zip(both.stacked, network.parameters(), strict=True):
            assert stacked.grad is not None
            assert single.grad is not None
            torch.testing.assert_close(stacked.grad[index], single.grad, rtol=1e-4, atol=1e-6)


def test_easy_tasks_are_learned_and_a_table_of_accuracies_kept(easy: ImageSet) -> None:
    tasks = PermutedTasks(easy, 2, [1, 2])
    seen: list[tuple[str, int, int]] = []
    found = learn_in_sequence(
        tasks, "dendrites", Recipe(32, 10, 1e-2, 30, winners=0.25), [1, 2],
        progress=lambda *state: seen.append(state),
    )  # fmt: skip
    assert found.accuracy.shape == (2, 2, 2)
    assert np.isnan(found.accuracy[:, 0, 1]).all()
    assert found.seen(1).min() > 0.95
    np.testing.assert_allclose(found.final, found.accuracy[:, 1].mean(1))
    by_distance = [
        torch.stack(
            [
                torch.cdist(tasks.test(task)[0][seed], tasks.prototypes[seed]).argmin(1) == task
                for task in (0, 1)
            ]
        )
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(found.context_found, [part.double().mean() for part in by_distance], atol=1e-6)
    assert seen == [("dendrites", 1, 2), ("dendrites", 2, 2)]


def test_controls_have_the_size_they_say(easy: ImageSet) -> None:
    tasks = PermutedTasks(easy, 3, [0])
    settings = Recipe(20, 1, 1e-3, 30)
    sizes = {method: make_network(tasks, method, settings, 0).n_parameters for method in METHODS}
    # Half of (16 + 20) * 20 weights, 3 segments of 16 for 2 * 20 units, head, biases.
    assert sizes["dendrites"] == 360 + 3 * 16 * 40 + 60 + 43
    assert sizes["kwinners"] == 360 + 60 + 43
    assert sizes["mlp"] == sizes["si"] == 720 + 60 + 43
    assert abs(sizes["mlp-wide"] / sizes["dendrites"] - 1) < 0.06


def quadratic(weights: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    return 0.5 * (torch.tensor([1.0, 4.0]) * (weights - centre).square()).sum()


def test_synaptic_intelligence_on_a_quadratic() -> None:
    """Along gradient descent the path integral is the drop of the loss, weight by weight."""
    network = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.0, 0.0]]))
    centre = torch.tensor([1.0, 2.0])
    rule = SynapticIntelligence(network, strength=0.5, damping=0.1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    rule.attach(optimizer)
    for _ in range(8000):
        optimizer.zero_grad()
        quadratic(network.weight[0], centre).backward()
        optimizer.step()
    rule.end_task(lambda places: torch.zeros(1, 1, 1), 0, torch.Generator())
    drop = 0.5 * torch.tensor([1.0, 4.0]) * centre.square()
    expected = 2 * 0.5 * drop / (centre.square() + 0.1)
    torch.testing.assert_close(rule.springs.stiffness[0][0], expected, rtol=5e-3, atol=0)
    # The next task pulls elsewhere: its minimum with springs is known.
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    rule.attach(optimizer)
    for _ in range(3000):
        optimizer.zero_grad()
        quadratic(network.weight[0], torch.zeros(2)).backward()
        optimizer.step()
    curvature = torch.tensor([1.0, 4.0])
    torch.testing.assert_close(
        network.weight[0].detach(), expected * centre / (expected + curvature), rtol=1e-2, atol=0
    )


@pytest.mark.parametrize("blocks", [False, True])
def test_synaptic_intelligence_is_the_same_in_one_pass_and_in_operations(blocks: bool) -> None:
    """Three tasks in double precision, each in its own part of the inputs, beside torch's Adam with hooks."""
    networks = [ContextClassifier(6, 300, 3, segments=3, winners=0.2).double() for _ in range(2)]
    rules = [SynapticIntelligence(network, strength=20.0) for network in networks]
    stream = torch.Generator().manual_seed(0)
    for _ in range(3):
        x, context = torch.randn(2, 40, 6, generator=stream, dtype=torch.float64)
        y = torch.arange(40) % 3
        optimizers = [
            BlockAdam(networks[0].parameters(), 0.01),
            (BlockAdam if blocks else torch.optim.Adam)(networks[1].parameters(), 0.01),
        ]
        rules[0].attach(optimizers[0])
        if blocks:  # Springs through hooks, as another optimiser has them.
            optimizers[1].register_step_pre_hook(rules[1]._note)
            optimizers[1].register_step_post_hook(rules[1]._follow)
        else:
            rules[1].attach(optimizers[1])
        for _ in range(8):
            for network, optimizer in zip(networks, optimizers, strict=True):
                optimizer.zero_grad()
                F.cross_entropy(network(x, context[:1]), y).backward()
                optimizer.step()
        for rule in rules:
            rule.end_task(lambda places: torch.zeros(1, 1, 1), 0, torch.Generator())
        for found, expected in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
        for found, expected in zip(rules[0].springs.stiffness, rules[1].springs.stiffness, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-10)
        assert float(rules[0].springs.stiffness[2].max()) > 0
    silent = [
        float((state["moments"].touched == 0).double().mean()) for state in optimizers[0].state.values()
    ]
    assert max(silent) > 0


def test_elastic_weights_are_the_fisher_information_of_a_softmax() -> None:
    """Of logistic regression the diagonal is x² p (1 - p), whatever the answers drawn, for two classes."""
    network = torch.nn.Linear(3, 2, bias=False)
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    p = network(x).softmax(1).detach()
    rule = ElasticWeights(network, strength=2.0, n_samples=40)
    draws = [torch.Generator().manual_seed(seed) for seed in range(150)]
    for draw in draws:
        rule.end_task(lambda places: network(x[places])[None], 40, draw)
    # Over draws E[(answer - p)²] = p (1 - p); each call adds springs.
    expected = 2.0 * ((p * (1 - p)).T @ x.square()) / 40
    torch.testing.assert_close(rule.springs.stiffness[0] / len(draws), expected, rtol=0.1, atol=1e-3)
    torch.testing.assert_close(rule.springs.rest[0], network.weight.detach())


def test_springs_of_several_tasks_pull_as_their_sum() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    rule = ElasticWeights(network, strength=1.0)
    for stiffness, rest in ((1.0, 2.0), (2.0, 5.0)):
        with torch.no_grad():
            network.weight.fill_(rest)
        rule.springs.add(0, torch.full((1, 1), stiffness))
    with torch.no_grad():
        network.weight.fill_(10.0)
    F.mse_loss(network(torch.zeros(1, 1)), torch.zeros(1, 1)).backward()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    rule.attach(optimizer)
    optimizer.step()
    assert network.weight.item() == pytest.approx(10 - (1 * (10 - 2) + 2 * (10 - 5)))


def test_intervals_are_students_and_gaps_paired() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    values = np.array([0.81, 0.79, 0.84, 0.80, 0.83])
    found = mean_over_seeds(values)
    low, high = scipy_stats.t.interval(0.95, 4, values.mean(), scipy_stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert np.isnan(mean_over_seeds([0.5]).low)
    shared = np.linspace(0, 0.3, 5)
    gap = gaps({"a": 0.5 + shared, "b": 0.6 + shared})["b", "a"]
    assert gap == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ConfigError, match="at least one seed"):
        mean_over_seeds([])


def test_published_settings_are_those_of_the_paper() -> None:
    """Iyer et al. (2022): epochs and learning rates by number of tasks."""
    assert [(recipe("mnist", "dendrites", t).epochs, recipe("mnist", "dendrites", t).learning_rate)
            for t in (2, 5, 10, 25, 50, 100)] == [
        (1, 5e-4), (1, 5e-4), (3, 5e-4), (5, 3e-4), (3, 3e-4), (3, 1e-4)
    ]  # fmt: skip
    si = recipe("mnist", "dendrites-si", 10)
    assert (si.hidden, si.epochs, si.learning_rate, si.strength) == (2000, 20, 5e-4, 0.1)
    assert (PUBLISHED["dendrites"][10], PUBLISHED["dendrites-si"][10]) == (0.94551, 0.97231)


def test_long_sequences_are_measured_at_milestones() -> None:
    assert measured_after(4) == [1, 2, 3, 4]
    assert measured_after(50) == [*range(1, 11), 25, 50]


def test_what_does_not_exist_is_named(easy: ImageSet) -> None:
    with pytest.raises(ConfigError, match="no images 'cifar'"):
        load_images("cifar")
    with pytest.raises(ConfigError, match="there are: dendrites"):
        recipe("digits", "resnet", 3)
    with pytest.raises(ConfigError, match="no images 'cifar'"):
        recipe("cifar", "mlp", 3)
    with pytest.raises(ConfigError, match="seeds all different"):
        PermutedTasks(easy, 2, [1, 1])
    with pytest.raises(ConfigError, match="unknown activation"):
        ContextClassifier(4, 4, 2, segments=1, activation="tanh")  # type: ignore[arg-type]


@pytest.mark.slow
def test_dendrites_remember_more_than_the_controls() -> None:
    """Five permuted tasks of digits: above both ablations and the plain network, with every seed."""
    seeds = [0, 1, 2]
    tasks = PermutedTasks(load_images("digits"), 5, seeds)
    final = {
        method: learn_in_sequence(tasks, method, recipe("digits", method, 5), seeds).final
        for method in ("dendrites", "kwinners", "dendrites-relu", "mlp")
    }
    for control in ("kwinners", "dendrites-relu", "mlp"):
        assert (final["dendrites"] > final[control]).all()
