"""Triton kernels run in its interpreter where there is no GPU."""

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

# Read when triton is imported: set before any test module can do so.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def gpu_device() -> str:
    """A CUDA device, or the CPU where Triton is interpreted."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("triton was imported before its interpreter could be asked for")
    return "cpu"


HERE = Path(__file__).parent
# What replaces inline assembly, by what it holds.
ASSEMBLY = {
    "bar.sync 1": "meet(1, WORKING);",
    "bar.sync 2": "meet(2, LISTENING);",
    "st.relaxed": "box[0] = one; box[1] = two;",
    "ld.relaxed": "give_way(); one = box[0]; two = box[1];",
    "fence": "",
    "prefetch": ";",
}


def translated(source: str) -> str:
    """The kernel as C++."""

    def replace(match: re.Match[str]) -> str:
        return next(ours for theirs, ours in ASSEMBLY.items() if theirs in match[0])

    source = re.sub(r"extern __shared__ int4 (\w+)\[\];", r"int4* \1 = (int4*)SHARED;", source)
    return re.sub(r'asm volatile\(.*?"?\);', replace, source)


class Emulated:
    """A kernel of a source, called as torch's compiled ones are."""

    def __init__(self, source: str, name: str, folder: Path) -> None:
        parameters = re.search(rf"{name}\((.*?)\) \{{", source, re.DOTALL)[1].split(",")
        types = [re.sub(r"\w+$", "", parameter.strip()).strip() for parameter in parameters]
        values = ", ".join(f"*({kind}*)kernel_arguments[{i}]" for i, kind in enumerate(types))
        text = (HERE / "emulated_card.cpp").read_text()
        text = text.replace("KERNEL\n", translated(source) + "\n").replace("RUN;", f"{name}({values});")
        cpp, library = folder / "kernel.cpp", folder / "kernel.so"
        cpp.write_text(text)
        flags = ["-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC", "-std=c++17"]
        subprocess.run(["g++", *flags, str(cpp), "-o", str(library)], check=True)
        self._run = ctypes.CDLL(str(library)).run

    def set_shared_memory_config(self, n_bytes: int) -> None:
        assert n_bytes < 1 << 20

    def __call__(self, grid, block, shared_mem, args) -> None:
        values = [
            ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else ctypes.c_int(a) for a in args
        ]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        self._run(grid[0], block[0], shared_mem, pointers)


@pytest.fixture
def emulated_card(monkeypatch, tmp_path):
    """Lets kernels in CUDA run on the CPU; not where there is a card."""
    if torch.cuda.is_available():
        return
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler to emulate a card with")
    from neuroai.simulation import gpu_resident
    from neuroai_kernels.drawn_delivery import listed

    kernels = {}

    def compiled(path, name, head):
        if (name, head) not in kernels:
            folder = tmp_path / str(len(kernels))
            folder.mkdir()
            kernels[name, head] = Emulated(head + path.read_text(), name, folder)
        return kernels[name, head]

    def resident(head, device):
        return compiled(gpu_resident.files("neuroai.simulation") / "resident.cu", "resident_steps", head)

    def of_lists(name, head, shared, device):
        return compiled(listed.files("neuroai_kernels.drawn_delivery") / "listed.cu", name, head)

    monkeypatch.setattr(gpu_resident, "_compiled", resident)
    monkeypatch.setattr(listed, "_kernel", of_lists)
