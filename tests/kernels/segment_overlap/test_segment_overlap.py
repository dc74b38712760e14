"""Three forms, three implementations, one answer."""

import itertools
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from neuroai_kernels.errors import KernelUnavailableError, ShapeError
from neuroai_kernels.segment_overlap import (
    PackedBits,
    SegmentIndex,
    pack_bits,
    segment_overlap,
    segment_responses,
)
from neuroai_kernels.segment_overlap.forms import COSTS, quickest_form

FORMS = ("gather", "mask", "event")
# rows, cells, segments, slots: one of everything, odd sizes, more than a tile, lists above a byte's count
SHAPES = [
    (1, 1, 1, 1), (1, 37, 5, 3), (3, 64, 33, 7), (9, 130, 70, 33), (2, 900, 11, 300), (17, 33, 300, 2),
    (66, 80, 270, 8), (10, 400, 9, 120),
]  # fmt: skip


@pytest.fixture(params=["reference", "cpu", "gpu"])
def implementation(request):
    """Each implementation; the Triton one in its interpreter."""
    if request.param == "gpu":
        request.getfixturevalue("triton_interpreter")
    return request.param


def problem(rows, cells, segments, slots, density=0.3, seed=0):
    """Activity, synapses with gaps, and overlaps by a dense product."""
    rng = np.random.default_rng(seed)
    x = rng.random((rows, cells)) < density
    synapses = np.full((segments, slots), -1, np.int32)
    dense = np.zeros((segments, cells), np.int64)
    for s in range(segments):
        count = rng.integers(0, min(slots, cells) + 1)
        chosen = rng.choice(cells, count, replace=False)
        synapses[s, rng.choice(slots, count, replace=False)] = chosen
        dense[s, chosen] = 1
    return torch.from_numpy(x), torch.from_numpy(synapses), torch.from_numpy(x.astype(np.int64) @ dense.T)


@pytest.mark.parametrize(("shape", "form"), list(itertools.product(SHAPES, FORMS)))
def test_all_agree_with_a_dense_product(shape, form, implementation):
    x, synapses, expected = problem(*shape)
    overlap = segment_overlap(x, SegmentIndex(synapses, x.shape[1]), form=form, implementation=implementation)
    assert overlap.dtype == torch.int32
    assert torch.equal(overlap.long(), expected)


@pytest.mark.parametrize("slots", [3, 8, 21])
def test_one_row_of_many_cells(slots):
    """Too many for a table of bytes: bits are looked up in the packed words."""
    x, synapses, expected = problem(1, 17_000, 9, slots)
    assert torch.equal(segment_overlap(x, synapses, implementation="cpu").long(), expected)


@pytest.mark.parametrize("form", FORMS)
def test_full_and_empty(form, implementation):
    x, synapses, _ = problem(2, 300, 6, 290)
    counts = (synapses >= 0).sum(1)
    for value, expected in ((1, counts), (0, 0 * counts)):
        overlap = segment_overlap(
            torch.full_like(x, value), SegmentIndex(synapses, 300), form=form, implementation=implementation
        )
        assert torch.equal(overlap.long(), expected.expand(2, -1))
    nothing = SegmentIndex(torch.full((3, 2), -1, dtype=torch.int32), 300)
    assert not segment_overlap(x, nothing, form=form, implementation=implementation).any()


@pytest.mark.parametrize("rows", [1, 10])
@pytest.mark.parametrize("per_neuron", [1, 4, 5])
@pytest.mark.parametrize("form", FORMS)
def test_responses(form, per_neuron, rows, implementation):
    x, synapses, overlap = problem(rows, 50, 20 * per_neuron, 9, seed=per_neuron)
    index = SegmentIndex(synapses, 50)
    found = segment_responses(x, index, 3, per_neuron, form=form, implementation=implementation)
    grouped = overlap.view(rows, 20, per_neuron)
    assert torch.equal(found.active, (grouped >= 3).any(-1))
    assert torch.equal(found.largest.long(), grouped.amax(-1))
    # numpy's arg-max is documented to return the first of equals.
    assert torch.equal(found.best.long(), torch.from_numpy(grouped.numpy().argmax(-1)))


@pytest.mark.parametrize(("rows", "slots"), [(9, 13), (70, 8), (64, 3)])
def test_many_rows_and_blocks_on_a_cpu(rows, slots):
    """More segments than wait together, neurons that do not divide them, slots that eight does not divide."""
    x, synapses, expected = problem(rows, 300, 2_100, slots)
    index = SegmentIndex(synapses, 300)
    assert torch.equal(segment_overlap(x, index, form="gather").long(), expected)
    found = segment_responses(x, index, 2, 3, form="gather")
    grouped = expected.view(rows, 700, 3)
    assert torch.equal(found.largest.long(), grouped.amax(-1))
    assert torch.equal(found.best.long(), torch.from_numpy(grouped.numpy().argmax(-1)))


def test_dispatch_by_cost():
    x, synapses, expected = problem(3, 64, 40, 8)
    assert torch.equal(segment_overlap(x, synapses).long(), expected)
    assert torch.equal(segment_overlap(x, SegmentIndex(synapses, 64)).long(), expected)
    for device in COSTS:
        assert quickest_form(device, 1, 8_192, 10**6, 32, 1e3) == "event"
        assert quickest_form(device, 1, 65_536, 10**6, 32, float("inf")) == "gather"
        assert quickest_form(device, 1, 32, 10**6, 255, float("inf")) == "mask"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_choice_against_measured_times(device, repository):
    measured = json.loads(
        (repository / "benchmarks" / "results" / f"dendrite_kernels_{device}.json").read_text()
    )
    for row in measured["forms"]:
        sizes = (row["rows"], row["n"], row["segments"], row["slots"], row["additions"])
        assert row["ms"][quickest_form(device, *sizes)] < 1.5 * min(row["ms"].values())


def test_packing_round_trip():
    for n in (1, 31, 32, 33, 100):
        x = torch.rand(4, n, generator=torch.Generator().manual_seed(n)) < 0.5
        packed = pack_bits(x)
        assert torch.equal(packed.unpack(), x)
        assert torch.equal(pack_bits(x.float()).words, packed.words)
        assert torch.equal(
            segment_overlap(packed, torch.zeros((1, 1), dtype=torch.int32))[:, 0], x[:, 0].int()
        )


def test_packing_of_views_and_of_nothing():
    x = torch.rand(6, 75, generator=torch.Generator().manual_seed(0)) < 0.5
    for part in (x[1:], x[:, 3:67], x[2:3, 5:37], x.T, x[:0], x[:, :0]):
        assert torch.equal(pack_bits(part).unpack(), part)


def test_connected_synapses():
    synapses = torch.tensor([[0, 1, 2, -1]], dtype=torch.int32)
    permanences = torch.tensor([[0.5, 0.49, 0.51, 0.9]], dtype=torch.float16)
    index = SegmentIndex.connected(synapses, 3, permanences, 0.5)
    assert index.synapses.tolist() == [[0, -1, 2, -1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, s: segment_overlap(x * 2.0, s), "must be binary: found 2.0 at row 0, cell 0"),
        (lambda x, s: segment_overlap(x * float("nan"), s), "must be binary: found nan"),
        (lambda x, s: segment_overlap(x, s.long()), r"int64 .* expected int32 \(S, L\)"),
        (lambda x, s: segment_overlap(x, s + 4), "expected -1 .none. or a cell in 0..3"),
        (lambda x, s: segment_overlap(x, SegmentIndex(s, 5)), "made for 5"),
        (lambda x, s: segment_overlap(x, s, form="dense"), "form='dense'"),
        (lambda x, s: segment_overlap(x[None, None], s), "expected \\(B, n\\)"),
        (lambda x, s: segment_overlap(x, torch.zeros_like(s), form="mask"), "cell 0 more than once"),
        (lambda x, s: segment_responses(x, s, 3, 1), "threshold=3: expected 1..2"),
        (lambda x, s: segment_responses(x, s, 1, 2), "no multiple of n_per_neuron=2"),
        (lambda x, s: PackedBits(torch.zeros((1, 1), dtype=torch.int32), 40), r"expected int32 \(B, 2\)"),
        (lambda x, s: SegmentIndex.connected(s, 4, torch.ones(2), 0.5), "do not fit"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ShapeError, match=message):
        call(torch.ones(4), torch.tensor([[0, 3], [1, 2], [0, -1]], dtype=torch.int32))


def test_unavailable():
    with pytest.raises(KernelUnavailableError, match="expected one of"):
        segment_overlap(torch.ones(4), torch.zeros((1, 1), dtype=torch.int32), implementation="fpga")


@pytest.mark.parametrize(
    ("rows", "filtered", "slots", "per"),
    [
        (1, 0, 4, 0), (1, 0, 32, 0), (1, 0, 128, 0), (1, 0, 8, 64), (1, 0, 32, 32), (8, 0, 16, 0),
        (8, 0, 128, 0), (8, 0, 32, 32), (8, 0, 128, 4), (8, 1, 32, 0), (8, 1, 32, 32),
    ],
)  # fmt: skip
def test_shared_memory_kernel_run_on_a_cpu(rows, filtered, slots, per, tmp_path, repository):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    here, program = repository / "tests/kernels/segment_overlap", tmp_path / "shared_cells"
    include = f"-I{repository / 'kernels/neuroai_kernels/segment_overlap'}"
    sizes = {"ROWS": rows, "FILTER": filtered, "SLOTS": slots, "PER": per, "THREADS": 64}
    options = ["-std=c++20", "-pthread", include, *(f"-D{name}={value}" for name, value in sizes.items())]
    source = str(here / "shared_cells_on_a_cpu.cpp")
    subprocess.run([compiler, *options, source, "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 3, 8, 9, 130])
@pytest.mark.parametrize(
    ("cells", "segments", "slots"),
    [
        (333, 64, 4),
        (333, 1280, 8),
        (70_000, 992, 16),
        (65_536, 320, 128),
        (250_000, 640, 32),
        (2_000_000, 64, 32),
    ],
)
def test_gather_on_a_gpu(rows, cells, segments, slots):
    """Cells in shared memory as far as they fit there, and in Triton."""
    x, synapses, overlap = problem(rows, 300, segments, slots)
    spread = torch.from_numpy(np.random.default_rng(1).permutation(cells)[:300])
    wide = torch.zeros((rows, cells), dtype=torch.bool)
    wide[:, spread] = x.bool()
    lists = torch.where(synapses < 0, -1, spread[synapses.clamp(min=0).long()]).to(torch.int32)
    index = SegmentIndex(lists.cuda(), cells)
    assert torch.equal(segment_overlap(wide.cuda(), index, form="gather").long().cpu(), overlap)
    for per in (1, 4, 32):
        if segments % per == 0:
            found = segment_responses(wide.cuda(), index, 1, per, form="gather")
            grouped = overlap.view(rows, -1, per)
            assert torch.equal(found.largest.long().cpu(), grouped.amax(-1))
            assert torch.equal(found.best.long().cpu(), torch.from_numpy(grouped.numpy().argmax(-1)))
