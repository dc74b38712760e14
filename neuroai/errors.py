"""Every exception of the project, in one place.

The data layer and the kernels know nothing of ``neuroai``, so each has its own
roots; all of them also subclass the built-in type that users already catch.

Examples
--------
>>> from neuroai.errors import NEUROAI_ERRORS, DataError
>>> issubclass(DataError, ValueError) and DataError in NEUROAI_ERRORS
True
"""

from neuroai_datasets.errors import (
    CardError as CardError,
)
from neuroai_datasets.errors import (
    DamagedFileError as DamagedFileError,
)
from neuroai_datasets.errors import (
    DataError as DataError,
)
from neuroai_datasets.errors import (
    DatasetUnavailableError as DatasetUnavailableError,
)
from neuroai_datasets.errors import (
    LeakError as LeakError,
)
from neuroai_datasets.errors import (
    UnitError as UnitError,
)
from neuroai_datasets.errors import (
    UnsafeFileError as UnsafeFileError,
)
from neuroai_kernels.errors import (
    KernelUnavailableError as KernelUnavailableError,
)
from neuroai_kernels.errors import (
    ShapeError as ShapeError,
)


class NeuroAIError(Exception):
    """Root of what ``neuroai`` itself raises."""


class ConfigError(NeuroAIError, ValueError):
    """An option or configuration value that cannot be used."""


class CheckpointError(NeuroAIError, RuntimeError):
    """A checkpoint that is missing, damaged, or belongs to another run."""


class MemoryBudgetError(NeuroAIError, MemoryError):
    """A job that cannot be done within the memory it was given."""


class SimulationError(NeuroAIError, RuntimeError):
    """A simulation whose state is no longer finite."""


class InterruptedRunError(NeuroAIError):
    """A run that was stopped and can be resumed."""


#: Catch all of ours: ``except NEUROAI_ERRORS``.
NEUROAI_ERRORS: tuple[type[Exception], ...] = (
    DataError,
    ShapeError,
    KernelUnavailableError,
    NeuroAIError,
)
