"""NWB against pynwb: what it writes is read, what we write it reads."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neuroai_datasets import conversions
from neuroai_datasets.errors import CardError, DamagedFileError, DataError, UnitError
from neuroai_datasets.loading import load
from neuroai_datasets.recording import Recording

pynwb = pytest.importorskip("pynwb")

TRAINS = [np.array([0.5, 1.25, 40.0]), np.array([2.0]), np.array([0.1, 0.2, 12.0, 33.3])]
UNSORTED = np.array([2.0, 1, 40, 2, 0.1, 0.2, 12, 33.3])
ORACLE_NOISE = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture
def session(tmp_path: Path) -> Path:
    content = pynwb.NWBFile(
        session_description="two boxes",
        identifier="box-7",
        session_start_time=datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
        subject=pynwb.file.Subject(subject_id="m1", species="Mus musculus"),
    )
    content.add_unit_column("depth", "um")
    content.add_unit_column("area", "where")
    for i, train in enumerate(TRAINS):
        content.add_unit(spike_times=train, depth=100.0 * i, area=f"V{i}")
    content.add_trial_column("condition", "what")
    content.add_trial(start_time=1.0, stop_time=2.0, condition="left")
    content.add_trial(start_time=5.0, stop_time=7.5, condition="right")
    content.add_epoch(0.0, 50.0, ["whole", "session"])
    behaviour = content.create_processing_module("behavior", "what it did")
    position = pynwb.behavior.Position(name="Position")
    position.create_spatial_series(
        name="xy",
        data=np.arange(20).reshape(10, 2),
        timestamps=np.arange(10) / 5,
        reference_frame="box",
        conversion=0.01,
    )
    behaviour.add(position)
    behaviour.add(
        pynwb.TimeSeries(name="speed", data=np.arange(5.0), rate=10.0, starting_time=3.0, unit="m/s")
    )
    path = tmp_path / "session.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as file:
        file.write(content)
    return path


def test_units_intervals_and_behaviour(session: Path) -> None:
    recording = load(session)
    for i, train in enumerate(TRAINS):
        np.testing.assert_array_equal(recording.spikes.unit(i), train)
    assert recording.units["depth"].values.tolist() == [0.0, 100.0, 200.0]
    assert recording.units["area"].values.tolist() == ["V0", "V1", "V2"]
    assert recording.events["onset"].values.tolist() == [0.0, 1.0, 5.0]
    assert recording.events["duration"].values.tolist() == [50.0, 1.0, 2.5]
    assert recording.events["trial_type"].values.tolist() == ["whole, session", "left", "right"]
    np.testing.assert_allclose(recording.behaviour["xy"].values, np.arange(20).reshape(10, 2) * 0.01)
    np.testing.assert_allclose(recording.behaviour["speed"]["time"].values, 3 + np.arange(5) / 10)
    assert recording.attrs["subject"] == "m1"
    assert datetime.fromisoformat(recording.attrs["session_start"]) == datetime(
        2024, 3, 31, 1, 30, tzinfo=UTC
    )


@ORACLE_NOISE
def test_pynwb_reads_the_same_from_the_shared_file(data_root: Path) -> None:
    path = data_root / "nwb_units" / "A8604-211122.nwb"
    recording = load(path)
    with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as file:
        content = file.read()
        assert len(content.units) == recording.spikes.n_units
        for i in range(3):
            np.testing.assert_array_equal(content.units["spike_times"][i], recording.spikes.unit(i))
        assert content.session_start_time == datetime.fromisoformat(recording.attrs["session_start"])


def edit(path: Path, change: Callable[[Any], None]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def replace(name: str, values: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        attrs = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file[name] = values
        file[name].attrs.update(attrs)

    return change


def without(name: str) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[name]

    return change


SPOILED = {
    "no units": (without("units"), "no units/spike_times; at the top"),
    "no index": (without("units/spike_times_index"), "no units/spike_times_index"),
    "index too short": (replace("units/spike_times_index", np.array([3, 4, 7])), "should rise to 8"),
    "index falls": (replace("units/spike_times_index", np.array([4, 3, 8])), "should rise to 8"),
    "index of floats": (replace("units/spike_times_index", np.array([3.0, 4.0, 8.0])), "expected whole"),
    "unsorted": (replace("units/spike_times", UNSORTED), "unit 0"),
    "negative": (replace("units/spike_times", UNSORTED * [-1, 1, 1, 1, 1, 1, 1, 1]), "negative"),
    "NaN": (replace("units/spike_times", UNSORTED * [np.nan, 1, 1, 1, 1, 1, 1, 1]), "NaN"),
    "two axes": (replace("units/spike_times", np.zeros((4, 2))), "expected one axis"),
    "trial ends before it starts": (replace("intervals/trials/stop_time", np.array([0.0, 7.5])), "row 0"),
    "trial without end": (replace("intervals/trials/stop_time", np.array([2.0, np.nan])), "row 1 runs"),
    "trials cut off": (replace("intervals/trials/stop_time", np.array([2.0])), "do not fit"),
    "timestamps cut off": (
        replace("processing/behavior/Position/xy/timestamps", np.arange(4.0)), "10 values and 4 timestamps"
    ),
    "no clock": (without("processing/behavior/Position/xy/timestamps"), "neither timestamps nor a"),
    "no date": (replace("session_start_time", "yesterday"), "is not ISO 8601"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_what_does_not_fit_is_refused(session: Path, case: str) -> None:
    change, message = SPOILED[case]
    edit(session, change)
    with pytest.raises(DataError, match=message):
        load(session)


def test_a_start_without_time_zone_is_left_out_and_noted(session: Path) -> None:
    edit(session, replace("session_start_time", "2024-03-31T02:30:00"))
    recording = load(session)
    assert "session_start" not in recording.attrs
    assert "has no time zone" in recording.attrs["repairs"][0]


def test_unsorted_spikes_can_be_repaired(session: Path) -> None:
    edit(session, replace("units/spike_times", UNSORTED))
    recording = load(session, repair="sort")
    assert recording.spikes.unit(0).tolist() == [1.0, 2.0, 40.0]
    assert any("sort" in note for note in recording.attrs["repairs"])
    with pytest.raises(CardError, match="choices: none, sort"):
        load(session, repair="drop")


def test_times_that_cannot_be_seconds_are_refused_until_their_unit_is_told(session: Path) -> None:
    seconds = np.sort(np.random.default_rng(0).random(100)) * 20
    edit(session, replace("units/spike_times", seconds * 1000))
    edit(session, replace("units/spike_times_index", np.array([40, 40, 100])))
    with pytest.raises(UnitError, match="Suggested: unit='ms'"):
        load(session)
    np.testing.assert_allclose(load(session, unit="ms").spikes.times[:], seconds)
    np.testing.assert_array_equal(load(session, unit="s").spikes.times[:], seconds * 1000)
    with pytest.raises(UnitError, match="'weeks' is not known"):
        load(session, unit="weeks")


def test_files_that_are_no_nwb(tmp_path: Path) -> None:
    (tmp_path / "a.nwb").write_bytes(b"not a file of this kind" * 50)
    with pytest.raises(DamagedFileError, match=r"a\.nwb"):
        load(tmp_path / "a.nwb")


@ORACLE_NOISE
def test_what_we_write_pynwb_reads(session: Path, tmp_path: Path) -> None:
    recording = load(session)
    copy = conversions.to_nwb(recording, tmp_path / "copy.nwb")
    with pynwb.NWBHDF5IO(str(copy), "r") as file:
        content = file.read()
        for i, train in enumerate(TRAINS):
            np.testing.assert_array_equal(content.units["spike_times"][i], train)
        assert content.trials["trial_type"][:].tolist() == ["whole, session", "left", "right"]
        assert content.trials["stop_time"][:].tolist() == [50.0, 2.0, 7.5]
        speed = content.processing["behavior"]["speed"]
        np.testing.assert_allclose(speed.timestamps[:], 3 + np.arange(5) / 10)
        assert content.session_start_time == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
    again = conversions.from_nwb(copy)
    np.testing.assert_array_equal(again.events["onset"].values, recording.events["onset"].values)


def test_writing_needs_spikes_and_a_zoned_start(tmp_path: Path) -> None:
    spikes = Recording.from_spikes(TRAINS, name="x")
    for start, message in ((None, "needs the session's start"), ("2024-01-01T00:00:00", "has no time zone")):
        with pytest.raises(DataError, match=message):
            conversions.to_nwb(spikes, tmp_path / "x.nwb", session_start=start)
    with pytest.raises(DataError, match="no spikes"):
        conversions.to_nwb(Recording.from_arrays(np.eye(3), name="x"), tmp_path / "x.nwb")
    assert not list(tmp_path.iterdir())
