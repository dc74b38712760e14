"""Features kept on disk, found by content: same stimulus, spec, weights, preprocessing and dtype."""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from neuroai.encoders.features.maps import FeatureMaps
from neuroai.errors import DamagedFileError

_BLOCK = 4 << 20
_FORMAT = 1


def default_cache() -> Path:
    """Folder ``features`` under ``NEUROAI_CACHE``, else under the user's cache folder.

    Examples
    --------
    >>> default_cache().name
    'features'
    """
    import platformdirs

    root = os.environ.get("NEUROAI_CACHE") or platformdirs.user_cache_dir("neuroai")
    return Path(root) / "features"


class FeatureCache:
    """A folder with one entry a key: raw little-endian values and a JSON description.

    Parameters
    ----------
    folder
        Made if missing. Several processes may share it: a lock a key lets one compute while the
        others wait for its result.

    Notes
    -----
    An entry appears under its key by one rename, after its bytes reached the disk, so it is whole or
    absent. Opening verifies the SHA-256 of every 4 MiB block (about a second a GB) and maps the
    file; a damaged entry is reported by a warning, removed, and computed anew.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = FeatureCache(folder)
    ...     with cache.create("key", (2, 3, 1, 1), "float32", "demo", {}) as values:
    ...         values[:] = 1
    ...     cache.open("key").shape
    (2, 3, 1, 1)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def key(stimulus_sha256: str, fingerprint: str, dtype: str) -> str:
        """Name of an entry: SHA-256 of all that determines its content."""
        parts = [str(_FORMAT), stimulus_sha256, fingerprint, np.dtype(dtype).str]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def lock(self, key: str) -> FileLock:
        """Lock to hold while computing ``key``."""
        return FileLock(self.folder / f"{key}.lock")

    def open(self, key: str) -> FeatureMaps | None:
        """Read-only memory map of an entry, or None if it is absent or damaged."""
        entry = self.folder / key
        if not entry.is_dir():
            return None
        try:
            return _open_entry(entry)
        except DamagedFileError as error:
            warnings.warn(f"{error}; removed, the features are computed again", RuntimeWarning, stacklevel=2)
            shutil.rmtree(entry)
            return None

    @contextmanager
    def create(
        self, key: str, shape: tuple[int, ...], dtype: str, name: str, attrs: dict[str, Any]
    ) -> Iterator[NDArray[Any]]:
        """Write an entry: fill the yielded array; it is published when the block ends without error."""
        little = np.dtype(dtype).newbyteorder("<")
        scratch = Path(tempfile.mkdtemp(prefix=f"{key[:12]}.", suffix=".partial", dir=self.folder))
        try:
            values = np.memmap(scratch / "values.bin", little, "w+", shape=shape)
            yield values
            values.flush()
            del values
            description = {
                "format": _FORMAT,
                "name": name,
                "dtype": little.str,
                "shape": list(shape),
                "attrs": attrs,
                "sha256": _block_digests(scratch / "values.bin"),
            }
            _write_synced(scratch / "features.json", json.dumps(description, indent=1))
            if (self.folder / key).exists():
                shutil.rmtree(self.folder / key)
            os.replace(scratch, self.folder / key)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


def _open_entry(entry: Path) -> FeatureMaps:
    try:
        description = json.loads((entry / "features.json").read_text())
        shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
        digests, name, attrs = description["sha256"], description["name"], description["attrs"]
        size = (entry / "values.bin").stat().st_size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"cached features {entry} cannot be read ({error})") from error
    if size != int(np.prod(shape)) * dtype.itemsize:
        raise DamagedFileError(f"cached features {entry} hold {size} bytes, not {shape} of {dtype}")
    found = _block_digests(entry / "values.bin")
    if found != digests:
        block = next((i for i, pair in enumerate(zip(found, digests, strict=False)) if pair[0] != pair[1]), 0)
        raise DamagedFileError(f"cached features {entry} differ from their checksum in 4 MiB block {block}")
    values = np.memmap(entry / "values.bin", dtype, "r", shape=shape)
    return FeatureMaps(values, name, attrs=attrs)


def _block_digests(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [hashlib.sha256(block).hexdigest() for block in iter(lambda: file.read(_BLOCK), b"")]


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
