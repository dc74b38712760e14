"""The only way in for foreign files: every failure is a :class:`~neuroai_datasets.errors.DataError`.

Sizes are judged before anything is allocated, nothing outside the file is followed, nothing is unpickled.
HDF5 and MATLAB files are read in a child process with limits on time and memory.
"""

from neuroai_datasets._safe_arrays import load_npy as load_npy
from neuroai_datasets._safe_arrays import load_npz as load_npz
from neuroai_datasets._safe_hdf5 import Hdf5Dataset as Hdf5Dataset
from neuroai_datasets._safe_hdf5 import Hdf5File as Hdf5File
from neuroai_datasets._safe_hdf5 import open_hdf5 as open_hdf5
from neuroai_datasets._safe_image import decode_image as decode_image
from neuroai_datasets._safe_mat import load_mat as load_mat
from neuroai_datasets._safe_nifti import NiftiFile as NiftiFile
from neuroai_datasets._safe_nifti import load_nifti as load_nifti
from neuroai_datasets._safe_text import read_bytes as read_bytes
from neuroai_datasets._safe_text import read_json as read_json
from neuroai_datasets._safe_text import read_table as read_table
from neuroai_datasets._safe_text import read_text as read_text
from neuroai_datasets._safe_text import read_toml as read_toml
from neuroai_datasets._safe_zip import SafeZip as SafeZip
from neuroai_datasets._safe_zip import open_zip as open_zip
