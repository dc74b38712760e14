"""The reader of region-name tables: reads what numpy writes, runs nothing."""

import io
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from neuroai_datasets.errors import DamagedFileError, DataError, UnsafeFileError
from neuroai_datasets.restricted_pickle import read_label_names

NAMES = {0: "Unknown", 1: "V1v", 2: "V1d", 300: "hV4", 70000: "naïve", -1: "none"}


def npy(path: Path, payload: bytes, version: int = 1) -> Path:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (53 - len(header) % 64) + b"\n"
    path.write_bytes(
        b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2, "little") + header + payload
    )
    return path


def test_reads_what_numpy_saves(tmp_path: Path) -> None:
    path = tmp_path / "mapping.npy"
    np.save(path, np.array(NAMES, dtype=object), allow_pickle=True)
    assert read_label_names(path) == NAMES
    assert list(read_label_names(path)) == list(NAMES)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", [int, np.int8, np.int64, np.uint16, ">i4"])
def test_reads_every_protocol_and_numpy_integers(tmp_path: Path, protocol: int, kind: object) -> None:
    convert = np.dtype(kind).type if isinstance(kind, str) else kind
    names = {convert(k): f"roi {k}" for k in range(3)}
    path = npy(tmp_path / "m.npy", pickle.dumps(np.array(names, dtype=object), protocol=protocol))
    assert read_label_names(path) == {0: "roi 0", 1: "roi 1", 2: "roi 2"}


def test_big_endian_scalars(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    buffer.write(
        b"\x80\x03}cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00i2K\x00K\x01tR"
    )
    buffer.write(b"(K\x03X\x01\x00\x00\x00>NNNtbC\x02\x01\x02tRX\x01\x00\x00\x00as.")
    assert read_label_names(npy(tmp_path / "m.npy", buffer.getvalue())) == {258: "a"}


class Exploit:
    def __init__(self, call: object, *arguments: object) -> None:
        self.parts = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.parts


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("where", ["bare", "key", "value", "array"])
def test_runs_nothing(tmp_path: Path, protocol: int, where: str) -> None:
    canary = tmp_path / "canary"
    exploit = Exploit(os.system, f"touch {canary}")
    held = {
        "bare": exploit,
        "key": {exploit: "x"},
        "value": {1: exploit},
        "array": np.array([exploit, exploit], dtype=object),
    }[where]
    path = npy(tmp_path / "m.npy", pickle.dumps(held, protocol=protocol))
    with pytest.raises(DataError):
        read_label_names(path)
    assert not canary.exists()


@pytest.mark.parametrize("call", [eval, exec, __import__, getattr, np.load, open, np.frombuffer])
def test_refuses_every_other_reference(tmp_path: Path, call: object) -> None:
    path = npy(tmp_path / "m.npy", pickle.dumps({1: Exploit(call, "1")}, protocol=4))
    with pytest.raises(UnsafeFileError, match="nothing in it was run"):
        read_label_names(path)


@pytest.mark.parametrize(
    "payload",
    [
        pickle.dumps([1, 2]),
        pickle.dumps({"a": "b"}),
        pickle.dumps({1: 2}),
        pickle.dumps({True: "x"}),
        b"",
        b"\x80\x04",
        b"\x80\x04.",
        b"(" * 1000,
        b"}h\x05.",
        b"\x80\x04}" + b"\x94" * 200_000 + b".",
    ],
)
def test_other_content_is_refused(tmp_path: Path, payload: bytes) -> None:
    with pytest.raises(DataError):
        read_label_names(npy(tmp_path / "m.npy", payload))


def test_too_large_and_missing(tmp_path: Path) -> None:
    big = npy(tmp_path / "m.npy", b"\0" * (1 << 20))
    with pytest.raises(DamagedFileError, match="at most"):
        read_label_names(big)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_label_names(tmp_path / "absent.npy")
    np.save(tmp_path / "plain.npy", np.arange(3))
    with pytest.raises(DamagedFileError, match="dtype object"):
        read_label_names(tmp_path / "plain.npy")


def test_mutants_never_escape(tmp_path: Path) -> None:
    good = tmp_path / "good.npy"
    np.save(good, np.array(NAMES, dtype=object), allow_pickle=True)
    original = good.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "mutant.npy"
    for _ in range(3000):
        mutant = bytearray(original)
        for _ in range(int(rng.integers(1, 4))):
            position = int(rng.integers(len(mutant)))
            kind = int(rng.integers(3))
            if kind == 0:
                mutant[position] = int(rng.integers(256))
            elif kind == 1:
                del mutant[position : position + int(rng.integers(1, 16))]
            else:
                mutant[position:position] = rng.bytes(int(rng.integers(1, 8)))
        path.write_bytes(bytes(mutant))
        try:
            names = read_label_names(path)
        except DataError:
            continue
        assert all(type(k) is int and type(v) is str for k, v in names.items())


def test_every_opcode_is_known_harmless_or_refused(tmp_path: Path) -> None:
    for opcode in pickletools.opcodes:
        payload = b"\x80\x04}" + opcode.code.encode("latin-1") + b"\x01\x00\x00\x00\x00\x00\x00\x00\n1\n."
        try:
            names = read_label_names(npy(tmp_path / "m.npy", payload))
        except DataError:
            continue
        assert all(type(k) is int and type(v) is str for k, v in names.items()), opcode.name
