"""Recordings of brains: one data model, one store, one way in for foreign files.

Names are loaded on first use, so that ``import neuroai_datasets`` costs milliseconds and pulls in none of
xarray, pandas, torch or nilearn.

Examples
--------
>>> import neuroai_datasets
>>> train, test = next(neuroai_datasets.kfold(6, 3))
>>> test.tolist()
[0, 1]
"""

from importlib import import_module
from typing import Any

_HOME = {
    "load": "loading",
    "Recording": "recording",
    "SpikeTrains": "spikes",
    "Intervals": "intervals",
    "Stimulus": "stimulus",
    "ArrayStimulus": "stimulus",
    "ImageFolder": "stimulus",
    "ZipImages": "stimulus",
    "Hdf5Images": "stimulus",
    "kfold": "splits",
    "blocked": "splits",
    "leave_one_run_out": "splits",
    "by_stimulus": "splits",
    "check_leaks": "splits",
    "delay": "delays",
    "to_float": "units",
    "to_seconds": "units",
    "bin_spikes": "binning",
    "save_tree": "store",
    "open_tree": "store",
    "list_datasets": "catalogue",
    "info": "catalogue",
    "fetch": "catalogue",
    "terms": "catalogue",
    "locate": "catalogue",
    "simulate_visual_cortex": "simulators",
    "simulate_bold": "simulators",
    "simulate_spikes": "simulators",
    "photograph_crops": "simulators",
    "planted_features": "simulators",
    "to_nifti": "conversions",
    "from_nifti": "conversions",
    "to_pandas": "conversions",
    "from_pandas": "conversions",
    "to_torch": "conversions",
    "from_torch": "conversions",
    "to_nwb": "conversions",
    "from_nwb": "conversions",
    "to_pynapple": "conversions",
    "write_atomic": "store",
    "DataError": "errors",
    "DamagedFileError": "errors",
    "UnsafeFileError": "errors",
    "UnitError": "errors",
    "CardError": "errors",
    "LeakError": "errors",
    "DatasetUnavailableError": "errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
