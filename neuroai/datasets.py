"""The data layer, re-exported from ``neuroai_datasets``.

Examples
--------
>>> from neuroai import datasets
>>> recording = datasets.simulate_visual_cortex(n_images=40, n_targets=20, seed=0)
>>> recording.responses.shape
(40, 20)
"""

from neuroai_datasets.binning import bin_spikes as bin_spikes
from neuroai_datasets.catalogue import fetch as fetch
from neuroai_datasets.catalogue import info as info
from neuroai_datasets.catalogue import list_datasets as list_datasets
from neuroai_datasets.catalogue import locate as locate
from neuroai_datasets.catalogue import terms as terms
from neuroai_datasets.catalogue import verify as verify
from neuroai_datasets.conversions import from_nifti as from_nifti
from neuroai_datasets.conversions import from_nwb as from_nwb
from neuroai_datasets.conversions import from_pandas as from_pandas
from neuroai_datasets.conversions import from_torch as from_torch
from neuroai_datasets.conversions import to_nifti as to_nifti
from neuroai_datasets.conversions import to_nwb as to_nwb
from neuroai_datasets.conversions import to_pandas as to_pandas
from neuroai_datasets.conversions import to_pynapple as to_pynapple
from neuroai_datasets.conversions import to_torch as to_torch
from neuroai_datasets.delays import delay as delay
from neuroai_datasets.errors import CardError as CardError
from neuroai_datasets.errors import DamagedFileError as DamagedFileError
from neuroai_datasets.errors import DataError as DataError
from neuroai_datasets.errors import DatasetUnavailableError as DatasetUnavailableError
from neuroai_datasets.errors import LeakError as LeakError
from neuroai_datasets.errors import UnitError as UnitError
from neuroai_datasets.errors import UnsafeFileError as UnsafeFileError
from neuroai_datasets.intervals import Intervals as Intervals
from neuroai_datasets.loading import load as load
from neuroai_datasets.recording import Recording as Recording
from neuroai_datasets.simulators import photograph_crops as photograph_crops
from neuroai_datasets.simulators import planted_features as planted_features
from neuroai_datasets.simulators import simulate_bold as simulate_bold
from neuroai_datasets.simulators import simulate_hub as simulate_hub
from neuroai_datasets.simulators import simulate_spikes as simulate_spikes
from neuroai_datasets.simulators import simulate_visual_cortex as simulate_visual_cortex
from neuroai_datasets.spikes import SpikeTrains as SpikeTrains
from neuroai_datasets.splits import blocked as blocked
from neuroai_datasets.splits import by_stimulus as by_stimulus
from neuroai_datasets.splits import check_leaks as check_leaks
from neuroai_datasets.splits import kfold as kfold
from neuroai_datasets.splits import leave_one_run_out as leave_one_run_out
from neuroai_datasets.stimulus import ArrayStimulus as ArrayStimulus
from neuroai_datasets.stimulus import Hdf5Images as Hdf5Images
from neuroai_datasets.stimulus import ImageFolder as ImageFolder
from neuroai_datasets.stimulus import Stimulus as Stimulus
from neuroai_datasets.stimulus import ZipImages as ZipImages
from neuroai_datasets.store import open_tree as open_tree
from neuroai_datasets.store import save_tree as save_tree
from neuroai_datasets.store import write_atomic as write_atomic
from neuroai_datasets.units import to_float as to_float
from neuroai_datasets.units import to_seconds as to_seconds
