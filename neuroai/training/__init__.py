"""One loop for every trained model: Lightning Fabric, atomic checkpoints, bit-exact resume.

Names resolve lazily, so that importing this package stays light.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.training.checkpoint import Checkpoint as Checkpoint
    from neuroai.training.checkpoint import load_newest as load_newest
    from neuroai.training.checkpoint import save_checkpoint as save_checkpoint
    from neuroai.training.loop import train as train
    from neuroai.training.run_state import Plan as Plan
    from neuroai.training.run_state import TrainingResult as TrainingResult

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoint": ["Checkpoint", "load_newest", "save_checkpoint"],
        "loop": ["train"],
        "run_state": ["Plan", "TrainingResult"],
    },
)
