"""Two processes train one model through torchrun; each prints its losses and a sum of its weights."""

import sys
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from neuroai.datasets import simulate_spikes
from neuroai.neuroformer import Neuroformer, NeuroformerConfig, fit
from neuroai.neuroformer.training import Recipe

fabric = Fabric(accelerator="cpu", devices=2, strategy=DDPStrategy(process_group_backend="gloo"))
fabric.launch()
model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
windows = model.windows(simulate_spikes(5, 4.0)).select(np.arange(64))
result = fit(model, windows, recipe=Recipe(epochs=2, batch_size=32), fabric=fabric)
total = sum(float(p.detach().double().sum()) for p in model.parameters())
(Path(sys.argv[1]) / f"rank{fabric.global_rank}").write_text(f"{result.losses} {total!r}")
