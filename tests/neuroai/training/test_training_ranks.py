"""Two processes that share each batch take the steps of one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys
from pathlib import Path
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from neuroai.training import Plan, train

class Samples:
    def __len__(self):
        return 64
    def __getitem__(self, index):
        x = torch.sin(index[:, None].float() * torch.arange(1, 7))
        return x, x[:, :3].square()

def main(fabric, folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 3)
    result = train(model, torch.optim.SGD(model.parameters(), 0.1), Samples(),
                   lambda model, batch, generator: (model(batch[0]) - batch[1]).square().mean(),
                   Plan(3, 16, capture=sys.argv[3] == "averaged"),
                   folder=Path(folder) / "ckpt", fabric=fabric)
    if fabric.global_rank == 0:
        losses = torch.tensor(result.losses)
        save_file(dict(model.state_dict()) | {"losses": losses}, Path(folder) / "end.safetensors")
    if fabric.world_size > 1:
        torch.distributed.destroy_process_group()

if __name__ == "__main__":
    devices = int(sys.argv[2])
    strategy = "ddp_spawn" if devices > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy)
    fabric.launch(main, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["reduced by DDP", "averaged"])
def test_two_ranks_equal_one(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ends = []
    for devices in (1, 2):
        folder: Path = tmp_path / str(devices)
        folder.mkdir()
        subprocess.run([sys.executable, str(script), str(folder), str(devices), how], check=True)
        assert [path.name for path in sorted((folder / "ckpt").iterdir())] == [
            "step-000000008",
            "step-000000012",
        ]
        ends.append(load_file(folder / "end.safetensors"))
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-5, atol=1e-6)
