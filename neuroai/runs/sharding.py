"""Blocks of targets on several processes or machines, through Dask.

Targets are independent given the features, so a fit is shared out by targets: each worker reads its own
block of responses from disk, and features that lie on disk are opened there, not sent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from neuroai.errors import ConfigError

Result = TypeVar("Result")
#: Seconds to wait for a scheduler that somebody else started.
_PATIENCE = 20


def n_processes(workers: str) -> int:
    """Processes that are started here: 1 for a cluster that runs already.

    Examples
    --------
    >>> n_processes("4"), n_processes("tcp://127.0.0.1:8786")
    (4, 1)
    """
    return int(workers) if workers.isdigit() else 1


@contextmanager
def open_client(workers: str) -> Iterator[Any]:
    """Start local processes of one thread each, or join a cluster that runs.

    Parameters
    ----------
    workers : str
        Number of processes, or the address of a Dask scheduler such as ``tcp://10.0.0.1:8786`` (started by
        ``dask scheduler``, or by dask-jobqueue on SLURM). Its workers must see the same files under the
        same paths.

    Raises
    ------
    ConfigError
        If no scheduler answers at that address.
    """
    import distributed

    # The package is typed in part: its untyped calls would not pass a strict check.
    dask: Any = distributed

    if not workers.isdigit():
        try:
            client = dask.Client(workers, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {workers}: {error}; start one with `dask scheduler`, or give "
                "--workers a number of processes"
            ) from error
        with client:
            yield client
        return
    options: dict[str, Any] = {"n_workers": int(workers), "threads_per_worker": 1, "dashboard_address": None}
    with dask.LocalCluster(**options) as cluster, dask.Client(cluster) as client:
        yield client


def share_out(
    client: Any,
    work: Callable[..., Result],
    shared: Any,
    parts: Sequence[Mapping[str, Any]],
    progress: Callable[[int], None],
) -> Iterator[tuple[int, Result]]:
    """Run ``work(shared, **part)`` for every part; yield (number of the part, result) as they end.

    Parameters
    ----------
    client : distributed.Client
    work : callable
        Importable in the workers.
    shared : object
        Sent to each worker once.
    parts : sequence of mappings
    progress : callable
        Called with the number of parts that have ended.

    Raises
    ------
    Exception
        What ``work`` raised, of the first part that failed; the others are called off.
    """
    import distributed

    dask: Any = distributed
    everywhere = client.scatter(shared, broadcast=True, hash=False)
    futures = {
        client.submit(work, everywhere, **part, pure=False): number for number, part in enumerate(parts)
    }
    try:
        for done, (future, result) in enumerate(dask.as_completed(list(futures), with_results=True)):
            progress(done + 1)
            yield futures[future], result
            future.release()
    finally:
        client.cancel(list(futures))
