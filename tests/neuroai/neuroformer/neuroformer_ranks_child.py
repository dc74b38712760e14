"""Train one model in the number of processes that started this; each writes its losses and its weights."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from neuroai.datasets import Recording
from neuroai.neuroformer import Neuroformer, NeuroformerConfig, fit
from neuroai.neuroformer.training import Recipe

devices = int(os.environ.get("WORLD_SIZE", "1"))
strategy = DDPStrategy(process_group_backend="gloo") if devices > 1 else "auto"
fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy)
fabric.launch()
# Six spikes in every window: the mean over a batch is the mean of the means over its halves.
rng = np.random.default_rng(0)
counts = np.zeros((70, 5, 5), dtype=np.int64)
for window in counts:
    np.add.at(window, (rng.integers(0, 5, 6), rng.integers(0, 5, 6)), 1)
recording = Recording.from_arrays(counts.reshape(-1, 5), name="six", period=0.01)
model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2, dropout=0.0))
windows = model.windows(recording).select(np.arange(6, 70))
result = fit(model, windows, recipe=Recipe(epochs=3, batch_size=32, learning_rate=1e-2), fabric=fabric)
found = {
    "losses": result.losses,
    "weights": [float(p.detach().double().square().sum()) for p in model.parameters()],
}
Path(sys.argv[1], f"rank{fabric.global_rank}of{devices}").write_text(json.dumps(found))
if devices > 1:
    torch.distributed.destroy_process_group()
