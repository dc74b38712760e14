"""A job of `neuroformer_recordings.py`, one model on one fold; and what its three tasks share."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDS = 5


@dataclass(frozen=True)
class Job:
    """One model: what it is made for, and from which numbers.

    Attributes
    ----------
    task : {"steinmetz", "side", "hippocampus"}
    folder : Path
        Of the recordings.
    device : str
    session : str
    fold, seed : int
    variant : str
        What the model sees, or how it is trained.
    hyper : dict
        Sizes and rates.
    features : Path, optional
        Folder in which features of models are kept for later runs.
    """

    task: str
    folder: Path
    device: str
    session: str
    fold: int
    seed: int
    variant: str
    hyper: dict[str, Any]
    features: Path | None = None

    def row(self) -> dict[str, Any]:
        """What the results say of it: all but places on this machine."""
        return {name: value for name, value in asdict(self).items() if name not in ("folder", "features")}

    def kept_or_made(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Features from a file, where there is one; else made, and kept in it (half precision)."""
        file = None if self.features is None else self.features / f"{name}_{self.seed}_{self.fold}.npz"
        if file is not None and file.exists():
            with np.load(file) as content:
                return dict(content)
        found = make()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            small = {
                k: v.astype(np.float16) if np.asarray(v).dtype.kind == "f" else v for k, v in found.items()
            }
            np.savez_compressed(file, **small)
        return found

    def fabric(self) -> Any:
        """The job's device, one thread."""
        import torch
        from lightning_fabric import Fabric

        torch.set_num_threads(1)
        return Fabric(accelerator=self.device, devices=1, precision="32-true")
