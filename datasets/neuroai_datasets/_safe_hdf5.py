"""Foreign HDF5 seen through the guard: a listing, and data sets whose slices the child process reads."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neuroai_datasets import _guard_client as client
from neuroai_datasets.errors import DamagedFileError, DataError, UnsafeFileError

BLOCK = 64 << 20
Trust = Literal["low", "high"]


class Hdf5Dataset:
    """A data set of a foreign file; slices come back as plain arrays.

    ``shape``, ``dtype``, ``chunks``, ``attrs`` (dict) and numpy slicing with integers and slices, and lists
    of integers along one axis. Text has dtype ``object`` and holds ``str``; object references are the path
    they point to.
    """

    def __init__(self, file: "Hdf5File", name: str, entry: dict[str, Any], blobs: list[bytes]) -> None:
        self._file = file
        self._unreadable: str | None = entry.get("unreadable")
        self.name = name
        self.shape: tuple[int, ...] = tuple(entry["shape"] or ())
        self.dtype = client.to_dtype(entry["descr"])
        self.chunks = tuple(entry["chunks"]) if entry.get("chunks") else None
        self.stored: int = entry.get("stored", 0)
        self.attrs = _unpack_attributes(entry["attrs"], blobs)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if self._unreadable:
            raise DataError(f"{self._file.path}: {self.name}: {self._unreadable} cannot be read")
        slices, rest = _as_slices(key, self.shape)
        values = self._read(slices)
        result = values[rest]
        return (
            result.item()
            if isinstance(result, np.ndarray) and result.dtype == object and not result.ndim
            else result
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = np.asarray(self[...])
        return values if dtype is None else values.astype(dtype)

    def _read(self, slices: list[slice]) -> npt.NDArray[Any]:
        lengths = [len(range(s.start, s.stop, s.step)) for s in slices]
        total = int(np.prod(lengths, dtype=object)) * self.dtype.itemsize
        if not slices or total <= BLOCK or lengths[0] < 2:
            return self._request(slices)
        out = np.empty(lengths, dtype=self.dtype)
        rows = max(1, BLOCK * lengths[0] // total)
        first = slices[0]
        for start in range(0, lengths[0], rows):
            stop = min(start + rows, lengths[0])
            part = slice(
                first.start + start * first.step, first.start + (stop - 1) * first.step + 1, first.step
            )
            out[start:stop] = self._request([part, *slices[1:]])
        return out

    def _request(self, slices: list[slice]) -> npt.NDArray[Any]:
        if any(s.start >= s.stop for s in slices):
            return np.empty([len(range(s.start, s.stop, s.step)) for s in slices], dtype=self.dtype)
        payload = {"op": "read", "name": self.name, "key": [[s.start, s.stop, s.step] for s in slices]}
        entry, blobs = self._file._request(payload)
        values = client.unpack_array(entry, blobs)
        if values.shape != tuple(len(range(s.start, s.stop, s.step)) for s in slices):
            raise DamagedFileError(
                f"{self._file.path}: {self.name}: {values.shape} values were read: the file changed since it "
                "was opened"
            )
        return values

    def __repr__(self) -> str:
        return f"<Hdf5Dataset {self.name} {self.dtype} {self.shape}>"


class Hdf5File(Mapping[str, Hdf5Dataset]):
    """The data sets of a foreign HDF5 file, by path without the leading slash.

    ``file["units/spike_times"]`` is a :class:`Hdf5Dataset`; ``file.children("units")`` lists names in a
    group; ``file.attrs("units")`` are the attributes of a group or data set. Works as a context manager;
    nothing is held open in this process.
    """

    def __init__(self, path: str | Path, max_bytes: int | None, time_limit: float, trust: Trust) -> None:
        self.path = Path(path)
        self._trust = trust
        self._time_limit = time_limit
        if not self.path.is_file():
            raise DamagedFileError(f"{self.path}: no such file")
        objects, blobs = self._request({"op": "examine", "max_bytes": max_bytes})
        self._groups: dict[str, dict[str, Any]] = {}
        self._datasets: dict[str, Hdf5Dataset] = {}
        self._links: dict[str, str] = {}
        for name, entry in objects.items():
            short = name.strip("/")
            if entry["kind"] == "group":
                self._groups[short] = _unpack_attributes(entry["attrs"], blobs)
            elif entry["kind"] == "dataset":
                self._datasets[short] = Hdf5Dataset(self, short, entry, blobs)
            elif entry["kind"] == "link":
                self._links[short] = entry["target"]
        self._resolve_links()

    def _request(self, payload: dict[str, Any]) -> tuple[Any, list[bytes]]:
        payload = payload | {"path": str(self.path.resolve())}
        if self._trust == "low":
            return client.worker.request(payload, self._time_limit)
        from neuroai_datasets import _guard_hdf5

        blobs: list[bytes] = []
        handler = _guard_hdf5.examine if payload["op"] == "examine" else _guard_hdf5.read
        try:
            return handler(payload, blobs), blobs
        except DataError as error:
            raise type(error)(f"{self.path}: {error}") from None
        except Exception as error:  # h5py raises OSError, RuntimeError, KeyError, ... on damaged files
            raise DamagedFileError(f"{self.path}: {type(error).__name__}: {error}") from error

    def _resolve_links(self) -> None:
        for name, target in self._links.items():
            parent = name.rpartition("/")[0]
            full = target.strip("/") if target.startswith("/") else f"{parent}/{target}".strip("/")
            if full in self._datasets:
                self._datasets[name] = self._datasets[full]
            elif full not in self._groups:
                raise UnsafeFileError(
                    f"{self.path}: /{name}: a soft link to {target!r}, which is not a plain object here"
                )

    def __getitem__(self, name: str) -> Hdf5Dataset:
        key = name.strip("/")
        if key not in self._datasets:
            raise DataError(
                f"{self.path}: no data set {name!r}: found {', '.join(sorted(self._datasets)[:20])}"
            )
        return self._datasets[key]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            name.strip("/") in self._datasets or name.strip("/") in self._groups
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def dataset(self, name: str) -> Hdf5Dataset:
        """Same as ``file[name]``."""
        return self[name]

    @property
    def groups(self) -> list[str]:
        """Paths of all groups; the root is the empty string."""
        return list(self._groups)

    def children(self, group: str = "") -> list[str]:
        """Names of the groups and data sets directly in ``group``."""
        prefix = f"{group.strip('/')}/" if group.strip("/") else ""
        names = [
            n[len(prefix) :] for n in [*self._groups, *self._datasets] if n.startswith(prefix) and n != ""
        ]
        return [n for n in names if n and "/" not in n]

    def attrs(self, name: str = "") -> dict[str, Any]:
        """Attributes of a group or data set."""
        key = name.strip("/")
        return dict(self._datasets[key].attrs if key in self._datasets else self._groups[key])

    def close(self) -> None:
        """Nothing is held open here; for symmetry with files."""

    def __enter__(self) -> "Hdf5File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Hdf5File {self.path.name}: {len(self)} data sets>"


def open_hdf5(
    path: str | Path,
    trust: Trust = "low",
    *,
    max_bytes: int | None = None,
    time_limit: float = client.TIME_LIMIT,
) -> Hdf5File:
    """Open a foreign HDF5 file (HDF5, NWB, netCDF-4, MATLAB 7.3) in a child process.

    The child walks the file link by link, under ``time_limit`` seconds and 4 GiB of address space, and also
    does every later read, so damaged or hostile files can neither hang nor crash the caller.

    Parameters
    ----------
    path : path
        The file.
    trust : {"low", "high"}
        ``"high"`` reads in this process, without the time and memory limits: for files made on this machine.
    max_bytes : int, optional
        Largest logical size, per data set and in all; default 200 x stored + 64 MiB.
    time_limit : float
        Seconds for the listing and for each block of at most 64 MiB.

    Returns
    -------
    Hdf5File
        Mapping from path to lazily read data set.

    Raises
    ------
    DamagedFileError
        When the library fails, crashes or does not end in time.
    UnsafeFileError
        For external links and storage, virtual data sets, unknown filters, bombs.

    Notes
    -----
    The first call starts the child (about 0.3 s); later calls reuse it. Reads cost one copy through a pipe.
    """
    return Hdf5File(path, max_bytes, time_limit, trust)


def _unpack_attributes(entries: dict[str, Any], blobs: list[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, entry in entries.items():
        if "value" in entry:
            found[name] = entry["value"]
        elif "empty" in entry:
            found[name] = None
        else:
            array = client.unpack_array(entry, blobs)
            found[name] = array if array.ndim else array.item()
    return found


def _as_slices(key: Any, shape: tuple[int, ...]) -> tuple[list[slice], tuple[Any, ...]]:
    """Positive-step slices to read, and the index that turns what was read into what was asked for."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if any(p is Ellipsis for p in parts):
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) > len(shape):
        raise IndexError(f"{len(parts)} indices for {len(shape)} axes")
    slices: list[slice] = []
    rest: list[Any] = []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            wanted = range(length)[part]
            ordered = wanted if wanted.step > 0 else wanted[::-1]
            slices.append(slice(ordered.start, max(ordered.stop, ordered.start), ordered.step))
            rest.append(slice(None) if wanted.step > 0 else slice(None, None, -1))
        else:
            index = np.arange(length)[part]
            low, high = (int(index.min()), int(index.max()) + 1) if np.size(index) else (0, 0)
            slices.append(slice(low, high, 1))
            rest.append(index - low)
    return slices, tuple(rest)
