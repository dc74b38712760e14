"""The run directory: what a finished run leaves, written whole or not at all.

A run is prepared in ``.NAME.partial`` beside its final place, with one file a
finished fold, and renamed when it is complete. A run that was stopped goes on
from its finished folds; a run that is there is complete.

=================  =============================================================
``config.toml``    the resolved configuration
``result.json``    the summary
``result.nc``      per-target scores and all that the report draws
``model/``         the readout fitted to every row (safetensors + JSON)
``figures/``       one SVG a figure of the report
``report.html``    one offline page
``manifest.json``  versions, seeds, machine, SHA-256 and size of every file above
=================  =============================================================
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroai.errors import ConfigError, DamagedFileError, InterruptedRunError

MANIFEST = "manifest.json"
#: Where a run in preparation keeps its finished folds.
FOLDS = "folds"
_BLOCK = 4 * 2**20


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    Parameters
    ----------
    path : Path
        Its directory.
    summary : dict
        The content of ``result.json``.
    manifest : dict
        The content of ``manifest.json``.
    """

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as a table."""
        from neuroai.runs.config import read_config

        return read_config(self.path / "config.toml")

    @property
    def report(self) -> Path:
        """The path of the report."""
        return self.path / "report.html"


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a finished run and check every file against the manifest.

    Parameters
    ----------
    path : path
        Directory that ``neuroai encode`` wrote.

    Returns
    -------
    Run

    Raises
    ------
    DamagedFileError
        If the directory is no finished run, or a file was changed since it was written.
    """
    root = Path(path)
    manifest = _read_json(root / MANIFEST)
    for name, record in manifest.get("files", {}).items():
        _check_file(root / name, record)
    return Run(root, _read_json(root / "result.json"), manifest)


def must_be(run: Run, command: str) -> None:
    """Refuse a run of another command.

    Raises
    ------
    ConfigError
        With where its own report is.
    """
    if (found := run.manifest.get("command")) != command:
        raise ConfigError(
            f"{run.path} is a run of `neuroai {found}`, expected one of `neuroai {command}`; "
            f"its own report is {run.report}"
        )


def write_manifest(root: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``: the given facts, then size and SHA-256 of every file in the directory."""
    files = {
        path.relative_to(root).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != MANIFEST and FOLDS not in path.relative_to(root).parts
    }
    write_text(root / MANIFEST, to_json({**facts, "files": files}) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    from neuroai_datasets.store import write_atomic

    write_atomic(path, lambda part: _written(part, text))


def to_json(value: Any) -> str:
    """Write JSON with sorted structure kept and no NaN: an undefined number becomes null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def staging(out: Path, digest: str) -> Iterator[Path]:
    """Open the directory in which a run is prepared, alone.

    Parameters
    ----------
    out : Path
        Where the finished run will stand.
    digest : str
        Digest of its configuration: parts of another configuration are not taken over.

    Yields
    ------
    Path
        The partial directory, with what an earlier, interrupted attempt finished.

    Raises
    ------
    ConfigError
        If nothing can be written there, or another process is preparing the same run.
    InterruptedRunError
        On Ctrl-C; what was finished is kept.

    Notes
    -----
    An error before the first fold is finished leaves nothing behind.
    """
    partial = out.with_name(f".{out.name}.partial")
    _make(partial, out)
    # The directory itself is locked: nothing is left behind, and the lock dies with the process.
    handle = os.open(partial, os.O_RDONLY)
    try:
        _lock(handle, partial, out)
        _prepare(partial, digest)
        yield partial
    except (KeyboardInterrupt, InterruptedRunError) as error:
        raise InterruptedRunError(
            f"interrupted; what is finished is kept in {partial}: give the same command to go on"
        ) from error
    except Exception:
        if _is_ours(handle, partial) and not _has_work(partial):
            shutil.rmtree(partial)
        raise
    finally:
        os.close(handle)


def finish(partial: Path, out: Path) -> None:
    """Move a complete run to its place and make the move durable."""
    shutil.rmtree(partial / FOLDS, ignore_errors=True)
    os.replace(partial, out)
    handle = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def existing(out: Path, digest: str) -> Run | None:
    """Return the finished run at ``out`` if it has this configuration, None if nothing is there.

    Raises
    ------
    ConfigError
        If something else is there, or no such name can be.
    """
    try:
        there = out.exists()
    except OSError as error:
        raise ConfigError(f"cannot use {out}: {error.strerror}; choose another --out") from error
    if not there:
        return None
    if not (out / MANIFEST).is_file():
        raise ConfigError(f"{out} exists and is no run directory; choose another --out")
    run = open_run(out)
    if run.manifest.get("digest") != digest:
        raise ConfigError(f"{out} holds a run with another configuration; delete it or choose another --out")
    return run


def _written(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _make(partial: Path, out: Path) -> None:
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConfigError(f"cannot write {out}: {error.strerror}; choose another --out") from error


def _has_work(partial: Path) -> bool:
    """Whether a fold is finished, or a fit has left a checkpoint."""
    kept = (path for path in (partial / FOLDS).rglob("*") if path.name != "digest")
    return any(path.is_file() for path in kept)


def _is_ours(handle: int, partial: Path) -> bool:
    """Whether this process holds the lock: another's partial run is not ours to remove."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return partial.exists() and os.path.samestat(os.fstat(handle), partial.stat())


def _lock(handle: int, partial: Path, out: Path) -> None:
    if not _is_ours(handle, partial):
        raise ConfigError(f"{out} is being written by another process; wait, or choose another --out")


def _prepare(partial: Path, digest: str) -> None:
    mark = partial / FOLDS / "digest"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != digest:
        for path in partial.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    mark.parent.mkdir(exist_ok=True)
    write_text(mark, digest)


def _check_file(path: Path, record: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise DamagedFileError(f"{path} is missing, but the run's manifest lists it; run the analysis again")
    size = path.stat().st_size
    if size != record["bytes"] or sha256(path) != record["sha256"]:
        raise DamagedFileError(
            f"{path} was changed after the run was written ({size} bytes found, {record['bytes']} expected, "
            "or another checksum); run the analysis again"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedFileError(
            f"{path.parent} is no finished run: {path.name}: {error.strerror}; expected a directory that "
            "`neuroai encode` wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
