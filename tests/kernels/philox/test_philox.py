"""Golden values, and the same words from every implementation."""

import tomllib
from pathlib import Path

import pytest
import torch

from neuroai_kernels.errors import KernelUnavailableError, ShapeError
from neuroai_kernels.philox import philox, philox_uniform, stream_counter

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "golden" / "dendrites.toml").read_text())


@pytest.fixture(params=["reference", "cpu", "gpu"])
def form(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def test_golden_words(form):
    for seed, counter, words in GOLDEN["philox"]:
        assert philox(seed, torch.tensor(counter), implementation=form).tolist() == words
    for seed, counter, word in GOLDEN["philox_first"]:
        assert philox(seed, torch.tensor(counter), implementation=form)[0] == word
    assert philox_uniform(123, torch.tensor([0, 0, 0, 0]), implementation=form)[0] == pytest.approx(
        0.1338955, abs=1e-7
    )


def test_known_answers_of_the_authors(form):
    """Known answers distributed with Random123 (zeros, ones, digits of pi)."""
    ones = 0xFFFFFFFF
    cases = [
        (0, [0, 0, 0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (ones | ones << 32, [ones] * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            0xA4093822 | 0x299F31D0 << 32,
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]
    for seed, counter, words in cases:
        found = philox(seed, torch.tensor(counter), implementation=form)
        assert [f"{word & ones:08x}" for word in found.tolist()] == words.split()


def test_same_words_everywhere(form):
    counter = torch.randint(0, 1 << 32, (3, 371, 4), generator=torch.Generator().manual_seed(0))
    for seed in (1, 16, 2**63 + 12345):
        expected = philox(seed, counter, implementation="reference")
        assert torch.equal(philox(seed, counter, implementation=form), expected)
    assert philox(1, counter[:0], implementation="cpu").shape == (0, 371, 4)


def test_streams_do_not_meet():
    element = torch.arange(50)
    counters = torch.cat(
        [
            stream_counter(element, source=source, projection=projection, tag=tag, step=step)
            for source in (0, 1)
            for projection in (0, 3)
            for tag in (0, 2)
            for step in (0, 7)
        ]
    )
    assert len(torch.unique(counters, dim=0)) == len(counters)
    assert len(torch.unique(philox(5, counters))) == 4 * len(counters)


def test_uniform_numbers():
    u = philox_uniform(9, stream_counter(torch.arange(100_000)))
    assert u.min() >= 0
    assert u.max() < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=4 * (1 / 12 / u.numel()) ** 0.5)


def test_refusals():
    with pytest.raises(ShapeError, match=r"shape \(\.\.\., 4\)"):
        philox(0, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ShapeError, match="integers"):
        philox(0, torch.zeros(4))
    with pytest.raises(ShapeError, match="tag below"):
        stream_counter(torch.arange(2), tag=256)
    with pytest.raises(KernelUnavailableError, match="expected one of"):
        philox(0, torch.zeros(4, dtype=torch.int64), implementation="cuda")
