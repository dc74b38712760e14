"""Recording cards: every format and table of the schema, and what a wrong card is told."""

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from neuroai_datasets.cards import CatalogueCard, RecordingCard, parse_card
from neuroai_datasets.errors import CardError, DataError, UnitError
from neuroai_datasets.loading import load
from neuroai_datasets.readers.presentations import average_presentations

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(20, 3))


def folder_with(folder: Path, card: str) -> Path:
    (folder / "recording.toml").write_text(card)
    return folder


def as_csv(path: Path, values: np.ndarray, delimiter: str) -> None:
    names = delimiter.join(f"unit{i}" for i in range(values.shape[1]))
    np.savetxt(path, values, delimiter=delimiter, header=names, comments="", fmt="%.17g")


def as_hdf5(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["group/responses"] = values


def as_mat73(path: Path, values: np.ndarray) -> None:
    """Write what MATLAB 7.3 writes: HDF5 after a 512-byte header, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data/counts"] = values.T


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "y.npy": ("", lambda p: np.save(p, VALUES)),
    "one.npz": ("", lambda p: np.savez(p, y=VALUES)),
    "y.npz": ('key = "y"', lambda p: np.savez(p, y=VALUES, other=np.zeros(3))),
    "y.mat": ('key = "data.counts"', lambda p: scipy.io.savemat(p, {"data": {"counts": VALUES, "n": 3.0}})),
    "new.mat": ('key = "data.counts"', lambda p: as_mat73(p, VALUES)),
    "y.h5": ('key = "group/responses"', lambda p: as_hdf5(p, VALUES)),
    "y.hdf5": ("", lambda p: as_hdf5(p, VALUES)),
    "y.csv": ("", lambda p: as_csv(p, VALUES, ",")),
    "y.tsv": ('columns = ["unit0", "unit1", "unit2"]', lambda p: as_csv(p, VALUES, "\t")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    key, write = WRITERS[name]
    write(tmp_path / name)
    recording = load(folder_with(tmp_path, f'name = "mine"\n[responses]\nfile = "{name}"\n{key}\n'))
    np.testing.assert_allclose(recording.responses.values, VALUES, rtol=1e-15)
    assert recording.sampling == "trial"


def test_cells_of_a_matlab_file_are_reached_by_number(tmp_path: Path) -> None:
    cells = np.empty(2, dtype=object)
    cells[0], cells[1] = np.zeros((2, 2)), VALUES
    scipy.io.savemat(tmp_path / "y.mat", {"blocks": cells})
    card = '[responses]\nfile = "y.mat"\nkey = "blocks.1"\n'
    np.testing.assert_array_equal(load(folder_with(tmp_path, card)).responses.values, VALUES)


def test_dims_reorder(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", VALUES.T)
    repeats = np.stack([VALUES + 1, VALUES - 1])
    repeats[1, 0, 0] = np.nan
    np.save(tmp_path / "r.npy", repeats.transpose(2, 1, 0))
    card = """
[responses]
file = "y.npy"
dims = ["target", "sample"]
[repeats]
file = "r.npy"
dims = ["target", "sample", "repeat"]
"""
    recording = load(folder_with(tmp_path, card))
    assert recording.responses.shape == (20, 3)
    np.testing.assert_array_equal(recording.repeats.values, repeats)


def jpeg(seed: int, size: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_identical_pictures_share_an_index_in_zip_and_folder(tmp_path: Path) -> None:
    seeds = [0, 1, 2, 0, 1]
    np.save(tmp_path / "y.npy", VALUES[:5])
    (tmp_path / "pictures").mkdir()
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for i, seed in enumerate(seeds):
            archive.writestr(f"im{i + 8}.png", jpeg(seed))
            (tmp_path / "pictures" / f"im{i + 8}.png").write_bytes(jpeg(seed))
    for file in ("p.zip", "pictures"):
        card = f'responses = "y.npy"\n[stimulus]\nfile = "{file}"\n'
        recording = load(folder_with(tmp_path, card))
        assert recording.responses["stimulus"].values.tolist() == [0, 1, 2, 0, 1]
        assert recording.stimulus.ids == [f"im{i}" for i in range(8, 13)]
        kept = load(folder_with(tmp_path, card + "merge_identical = false\n"))
        assert kept.responses["stimulus"].values.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["npy", "h5", "mat"])
def test_pictures_in_an_array(kind: str, tmp_path: Path) -> None:
    frames = RNG.integers(0, 255, (20, 4, 5), dtype=np.uint8)
    np.save(tmp_path / "y.npy", VALUES)
    np.save(tmp_path / "s.npy", frames)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["s"] = frames
    scipy.io.savemat(tmp_path / "s.mat", {"s": frames.transpose(1, 2, 0)})
    dims = 'dims = ["height", "width", "frame"]' if kind == "mat" else ""
    key = "" if kind == "npy" else 'key = "s"'
    card = f'period = 0.1\nresponses = "y.npy"\n[stimulus]\nfile = "s.{kind}"\n{key}\n{dims}\n'
    np.testing.assert_array_equal(load(folder_with(tmp_path, card)).stimulus[:], frames)


def test_stimulus_index_may_count_from_one(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", VALUES)
    np.save(tmp_path / "s.npy", np.zeros((4, 2, 2)))
    np.save(tmp_path / "i.npy", np.tile([1, 2, 3, 4], 5))
    card = 'responses = "y.npy"\n[stimulus]\nfile = "s.npy"\n[stimulus.index]\nfile = "i.npy"\nfirst = 1\n'
    recording = load(folder_with(tmp_path, card))
    assert recording.responses["stimulus"].values.tolist() == [0, 1, 2, 3] * 5
    with pytest.raises(DataError, match="expected 20 entries below 4"):
        load(folder_with(tmp_path, card.replace("first = 1", "first = 0")))


def test_selections_fill_paths_keys_and_conditions(tmp_path: Path) -> None:
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        np.save(tmp_path / day / "y.npy", VALUES + (day == "tue"))
    np.save(tmp_path / "roi.npy", [0, 1, 0])
    card = """
name = "days"
[selections.day]
choices = ["mon", "tue"]
[responses]
file = "{day}/y.npy"
[rois.V1]
file = "roi.npy"
when = { day = "tue" }
[[subsets]]
start = 5
when = { day = "tue" }
"""
    folder_with(tmp_path, card)
    with pytest.raises(CardError, match=r"say which day: add day=\.\.\. out of mon, tue"):
        load(tmp_path)
    with pytest.raises(CardError, match=r"day='tu' does not exist \(did you mean 'tue'\?\)"):
        load(tmp_path, day="tu")
    assert load(tmp_path, day="mon").rois is None
    tuesday = load(tmp_path, day="tue")
    assert tuesday.rois.values.tolist() == [[False, True, False]]
    np.testing.assert_array_equal(tuesday.responses.values, VALUES[5:] + 1)


def test_a_series_with_runs_events_behaviour_and_coordinates(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", VALUES.astype(np.float32))
    np.save(tmp_path / "x.npy", [1.0, 2.0, 3.0])
    np.save(tmp_path / "speed.npy", np.arange(40.0))
    (tmp_path / "events.tsv").write_text("start\tlength\tkind\n0\t2000\ta\n24000\t2000\tb\n")
    card = """
modality = "fmri"
period = 2000
period_unit = "ms"
responses = "y.npy"
[runs]
lengths = [10, 10]
[events]
file = "events.tsv"
unit = "ms"
names = { onset = "start", duration = "length", trial_type = "kind" }
[behaviour.speed]
values = "speed.npy"
period = 1.0
[targets.x]
file = "x.npy"
[rois.pair]
file = "pair.npy"
first = 1
"""
    np.save(tmp_path / "pair.npy", [1, 3])
    recording = load(folder_with(tmp_path, card))
    assert recording.period == 2.0
    assert recording.responses["run"].values.tolist() == [0] * 10 + [1] * 10
    assert recording.events["onset"].values.tolist() == [0.0, 4.0]
    assert recording.events["run"].values.tolist() == [0, 1]
    assert recording.behaviour["speed"]["time"].values[-1] == 39.0
    assert recording.responses["x"].values.tolist() == [1.0, 2.0, 3.0]
    assert recording.rois.values.tolist() == [[True, False, True]]


def test_coded_events_restart_with_each_run(tmp_path: Path) -> None:
    codes = np.zeros(20)
    codes[[2, 12]] = [1, 7]
    np.save(tmp_path / "y.npy", VALUES)
    np.save(tmp_path / "codes.npy", codes)
    card = """
period = 2.0
responses = "y.npy"
runs = { lengths = [10, 10] }
[events]
codes = "codes.npy"
labels = { 1 = "face" }
duration = 1.5
"""
    events = load(folder_with(tmp_path, card)).events
    assert events["onset"].values.tolist() == [4.0, 4.0]
    assert events["trial_type"].values.tolist() == ["face", "7"]
    assert events["run"].values.tolist() == [0, 1]


@pytest.mark.parametrize("part", ["counts", "index", "units"])
def test_spikes_are_told_apart_in_three_ways(part: str, tmp_path: Path) -> None:
    trains = [np.array([0.5, 30.0]), np.array([]), np.array([0.25, 7.0, 8.5])]
    np.save(tmp_path / "t.npy", np.concatenate(trains) * 1000)
    np.save(tmp_path / "counts.npy", [2, 0, 3])
    np.save(tmp_path / "index.npy", [2, 2, 5])
    np.save(tmp_path / "units.npy", [0, 0, 2, 2, 2])
    card = f'modality = "spikes"\n[spikes]\ntimes = "t.npy"\nunit = "ms"\n{part} = "{part}.npy"\n'
    spikes = load(folder_with(tmp_path, card)).spikes
    assert spikes.n_units == 3
    for i, train in enumerate(trains):
        np.testing.assert_allclose(spikes.unit(i), train)


def spiking(folder: Path, times: np.ndarray) -> Path:
    np.save(folder / "t.npy", times)
    np.save(folder / "counts.npy", [len(times)])
    return folder_with(folder, 'modality = "spikes"\n[spikes]\ntimes = "t.npy"\ncounts = "counts.npy"\n')


def test_the_unit_of_spike_times_is_checked_unless_it_is_told(tmp_path: Path) -> None:
    seconds = np.sort(np.random.default_rng(0).random(400)) * 50
    card = spiking(tmp_path, seconds * 1000) / "recording.toml"
    with pytest.raises(UnitError, match=r"do not look like seconds.*Suggested: unit='ms'"):
        load(tmp_path)
    plain = card.read_text()
    for told in ('unit = "ms"', 'times.unit = "ms"\ntimes.file = "t.npy"'):
        card.write_text(
            plain.replace('times = "t.npy"', told if "file" in told else f'times = "t.npy"\n{told}')
        )
        np.testing.assert_allclose(load(tmp_path).spikes.unit(0), seconds)
    card.write_text(plain + 'unit = "s"\n')
    np.testing.assert_array_equal(load(tmp_path).spikes.unit(0), seconds * 1000)


def test_a_card_declares_the_clock_and_the_interval_of_spikes(tmp_path: Path) -> None:
    card = spiking(tmp_path, np.array([-1.0, 2.0, 2.0])) / "recording.toml"
    with pytest.raises(DataError, match=r"negative.*declare interval="):
        load(tmp_path)
    card.write_text(card.read_text() + "interval = [-2.0, 9.0]\n")
    with pytest.raises(DataError, match=r"duplicated.*resolution="):
        load(tmp_path)
    card.write_text(card.read_text() + "resolution = 0.001\n")
    spikes = load(tmp_path).spikes
    assert (spikes.n_spikes, spikes.span()) == (3, (-2.0, 9.0))
    card.write_text(card.read_text().replace("[-2.0, 9.0]", "[9.0, -2.0]"))
    with pytest.raises(CardError, match="start < stop"):
        load(tmp_path)


def test_spikes_come_with_events_and_labels_of_units(tmp_path: Path) -> None:
    (tmp_path / "events.tsv").write_text("onset\tduration\ttrial_type\n1.0\t2.0\tcue\n1.5\t0.5\tgo\n")
    np.save(tmp_path / "depth.npy", [100.0])
    card = spiking(tmp_path, np.array([0.5, 1.5])) / "recording.toml"
    plain = card.read_text()
    card.write_text(plain + '[events]\nfile = "events.tsv"\n[targets]\ndepth = "depth.npy"\n')
    recording = load(tmp_path)
    assert recording.events["onset"].values.tolist() == [1.0, 1.5]
    assert recording.units["depth"].values.tolist() == [100.0]
    card.write_text(plain + '[stimulus]\nfile = "movie.npy"\n')
    with pytest.raises(CardError, match=r"found stimulus beside \[spikes\]"):
        load(tmp_path)


def test_int16_betas_need_a_scale(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([[300, -150], [0, 600]], dtype=np.int16))
    card = 'modality = "fmri"\n[responses]\nfile = "y.npy"\n'
    with pytest.raises(DataError, match="scale"):
        load(folder_with(tmp_path, card))
    scaled = load(folder_with(tmp_path, card + f"scale = {1 / 300!r}\n"))
    np.testing.assert_allclose(scaled.responses.values, [[1, -0.5], [0, 2]], rtol=1e-6)


def test_nan_is_refused_or_masked(tmp_path: Path) -> None:
    spoiled = VALUES.copy()
    spoiled[4, 1] = np.nan
    np.save(tmp_path / "y.npy", spoiled)
    with pytest.raises(DataError, match="1 NaN or Inf"):
        load(folder_with(tmp_path, 'responses = "y.npy"\n'))
    masked = load(folder_with(tmp_path, 'nan_policy = "mask"\nresponses = "y.npy"\n'))
    assert masked.n_targets == 2
    assert "dropped 1 of 3" in masked.attrs["repairs"][0]


@pytest.mark.parametrize("name", ["y.npy", "y.h5"])
def test_float_responses_stay_on_disk(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", VALUES.astype(np.float32))
    as_hdf5(tmp_path / "y.h5", VALUES.astype(np.float32))
    recording = load(folder_with(tmp_path, f'responses = "{name}"\n'))
    np.testing.assert_array_equal(recording.responses[3:5].values, VALUES[3:5].astype(np.float32))
    assert not recording.responses.variable._in_memory


def test_averaging_presentations() -> None:
    mean, repeats, shown = average_presentations(np.arange(10.0).reshape(5, 2), [3, 1, 3, 3, 1])
    assert shown.tolist() == [3, 1]
    np.testing.assert_allclose(mean, [[10 / 3, 13 / 3], [5.0, 6.0]])
    assert repeats.shape == (3, 2, 2)
    np.testing.assert_array_equal(repeats[:, 0], [[0, 1], [4, 5], [6, 7]])
    assert np.isnan(repeats[2, 1]).all()


BAD_CARDS = {
    'respnses = "y.npy"': r"unknown key 'respnses' \(did you mean 'responses'\?\)",
    '[responses]\nfile = "y.npy"\ndim = ["sample"]': r"unknown key 'responses.dim' \(did you mean 'dims'\?\)",
    "[responses]\nfile = 3": r"responses.file: Input should be a valid string",
    '[responses]\nfile = "../y.npy"': r"does not name a file inside the folder",
    '[responses]\nfile = "/y.npy"': r"does not name a file inside the folder",
    '[responses]\nfile = "z.npy"': r"z.npy does not exist \(did you mean 'y.npy'\?\)",
    '[responses]\nfile = "y.txt"': r"none of .npy .npz",
    '[responses]\nfile = "{day}.npy"': r"uses \{day\}, but there is no such selection",
    '[responses]\nfile = "y.npy"\ndims = ["time", "target"]': r"dims = \['time', 'target'\] should be out of",
    '[responses]\nfile = "y.npy"\ndims = ["sample"]': r"an array of shape \(20, 3\), dims names 1 axes",
    '[responses]\nfile = "y.npy"\ncolumns = ["a"]': r"columns belong to .csv and .tsv",
    'name = "x"': r"a recording needs \[responses\] or \[spikes\]",
    'responses = "y.npy"\n[runs]\nlengths = [3]': r"runs cover 3 samples, the responses have 20",
    'responses = "y.npy"\n[runs]\nlengths = [-3]': r"runs.lengths.0: Input should be greater than 0",
    'responses = "y.npy"\n[events]\ncodes = "y.npy"': r"events.codes need a period",
    'responses = "y.npy"\n[stimulus]\nfile = "s.npy"': r"3 pictures for 20 samples; dims = .* would fit",
    'responses = "y.npy"\n[rois.a]\nfile = "big.npy"': r"rois.a names target 100",
    'responses = "y.npy"\n[behaviour.a]\nvalues = "y.npy"': r"give either times or period",
    'responses = "y.npy"\nperiod = 2000.0\nmodality = "fmri"': r"a TR of 2000 s",
    'responses = "y.npy"\nmodality = "fmrii"': r"modality: Input should be 'fmri'",
    'responses = "y.npy"\naverage_presentations = {}': r"average_presentations needs a stimulus",
    '[spikes]\ntimes = "y.npy"': r"give exactly one of counts, index, units",
    '[spikes]\ntimes = "y.npy"\ncounts = "big.npy"': r"unit ends should rise to 60",
    'responses = "y.npy"\n[selections.a]\nchoices = ["1"]\ndefault = "2"': r"default '2' is not among",
}


@pytest.mark.parametrize("card", BAD_CARDS)
def test_bad_cards_are_told_what_is_wrong(card: str, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", VALUES)
    (tmp_path / "y.txt").write_text("1")
    np.save(tmp_path / "s.npy", np.zeros((3, 2, 2)))
    np.save(tmp_path / "big.npy", np.array([99, 100]))
    with pytest.raises((CardError, DataError, UnitError), match=BAD_CARDS[card]):
        load(folder_with(tmp_path, card))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.npy"
    np.save(outside, VALUES)
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / "y.npy").symlink_to(outside)
    with pytest.raises(CardError, match="leads out of"):
        load(folder_with(inside, 'responses = "y.npy"'))


def test_keys_that_are_not_there_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "y.npz", spikes=VALUES, other=VALUES)
    with pytest.raises(CardError, match=r"no array 'spike' \(did you mean 'spikes'\?\)"):
        load(folder_with(tmp_path, '[responses]\nfile = "y.npz"\nkey = "spike"'))
    with pytest.raises(CardError, match=r"holds 2 arrays: add key = one of spikes, other"):
        load(folder_with(tmp_path, 'responses = "y.npz"'))
    scipy.io.savemat(tmp_path / "y.mat", {"data": {"counts": VALUES}})
    with pytest.raises(CardError, match=r"no 'count' in 'data.count' \(did you mean 'counts'\?\)"):
        load(folder_with(tmp_path, '[responses]\nfile = "y.mat"\nkey = "data.count"'))


def test_catalogue_cards_need_a_reader_or_a_recording() -> None:
    about = {
        "name": "x",
        "title": "t",
        "citation": "c",
        "licence": "l",
        "size_bytes": 1,
        "how_to_obtain": "h",
    }
    with pytest.raises(CardError, match="belong together"):
        parse_card(CatalogueCard, about, "x.toml")
    card = parse_card(CatalogueCard, {**about, "recording": {"responses": "y.npy"}}, "x.toml")
    assert isinstance(card.recording, RecordingCard)
    with pytest.raises(CardError, match="sha256"):
        parse_card(
            CatalogueCard, {**about, "reader": "nwb", "files": {"a": {"sha256": "x", "bytes": 1}}}, "x"
        )


def test_nothing_to_load_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected a folder with recording.toml"):
        load(tmp_path)
    with pytest.raises(DataError, match="neither a data set of the catalogue"):
        load(tmp_path / "absent")
