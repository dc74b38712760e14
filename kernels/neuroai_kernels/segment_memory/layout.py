"""The arrays of growing segments: synapses of each segment, and for each input the synapses it feeds."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neuroai_kernels.errors import ShapeError

Array = npt.NDArray[Any]

#: Places in `Segments.counters`.
FREE, SYNAPSES, ARENA, TOUCHED, TAG = range(5)
N_COUNTERS = 5
#: Sizes of the blocks of the inverted index are 4, 8, 16, ... entries.
SMALLEST_BLOCK = 4
N_BLOCK_SIZES = 28
_LARGEST_CODE = 2**31 - 1


class Segments(NamedTuple):
    """Segments that grow and are pruned, with an inverted index kept up to date synapse by synapse.

    Attributes
    ----------
    cell : int32 (segment,)
        Owner, -1 for a free place.
    n_synapses : int32 (segment,)
        Used places of the rows below.
    presynaptic : int32 (segment, synapse)
        Input cells, all different in a row.
    permanence : uint8 or uint16 (segment, synapse)
        In units of 1 / ``one``.
    position : int32 (segment, synapse)
        Where the index lists the synapse.
    last_used : int64 (segment,)
        Step of the last activity that counts as use.
    n_segments : int32 (owner,)
    free : int32 (segment,)
        Stack of free places.
    list_start, list_length, list_connected, list_size : int32 (input,)
        The block of each input in ``entries``: start, entries used, how many of them (the first ones) are
        connected synapses, and size class (-1: no block).
    entries : int32 (arena,)
        ``segment << bits | synapse``.
    block_free : int32 (size class,)
        Head of each list of free blocks, -1 at the end; a free block holds the next head.
    counts : int32 (segment,)
        Overlaps: connected in the upper 16 bits, all synapses in the lower.
    touched : int32 (segment,)
        Segments whose count is not zero.
    mark : int64 (input,)
        Scratch of `grow`.
    counters : int64 (5,)
        Free places, live synapses, arena used, touched segments, last mark.
    connected, one, bits : int
        Threshold of a connected synapse and permanence 1.0, both in units; bits of a synapse's place.
    """

    cell: Array
    n_synapses: Array
    presynaptic: Array
    permanence: Array
    position: Array
    last_used: Array
    n_segments: Array
    free: Array
    list_start: Array
    list_length: Array
    list_connected: Array
    list_size: Array
    entries: Array
    block_free: Array
    counts: Array
    touched: Array
    mark: Array
    counters: Array
    connected: int
    one: int
    bits: int


def allocate(
    n_cells: int,
    n_inputs: int,
    n_places: int,
    n_synapses: int,
    *,
    connected: int,
    one: int,
    dtype: npt.DTypeLike = np.uint16,
    n_entries: int = 1024,
) -> Segments:
    """Make empty segments.

    Parameters
    ----------
    n_cells, n_inputs : int
        Owners of segments, and cells that synapses may come from.
    n_places : int
        Segments there is room for; see `with_places`.
    n_synapses : int
        Most synapses of a segment.
    connected, one : int
        Threshold and full permanence in units.
    dtype : uint8 or uint16
    n_entries : int
        Room of the inverted index; see `with_entries`.

    Raises
    ------
    ShapeError
        If segments times synapses do not fit the 31-bit entries of the index.

    Notes
    -----
    10 bytes a synapse place (8 + permanence), 4 to 8 an indexed synapse, 24 a segment, 28 an input cell.
    """
    bits = max(1, int(n_synapses - 1).bit_length())
    _check_places(n_places, bits)
    return Segments(
        cell=np.full(n_places, -1, np.int32),
        n_synapses=np.zeros(n_places, np.int32),
        presynaptic=np.zeros((n_places, n_synapses), np.int32),
        permanence=np.zeros((n_places, n_synapses), dtype),
        position=np.zeros((n_places, n_synapses), np.int32),
        last_used=np.zeros(n_places, np.int64),
        n_segments=np.zeros(n_cells, np.int32),
        # A stack: place 0 is on top.
        free=np.arange(n_places - 1, -1, -1, dtype=np.int32),
        list_start=np.zeros(n_inputs, np.int32),
        list_length=np.zeros(n_inputs, np.int32),
        list_connected=np.zeros(n_inputs, np.int32),
        list_size=np.full(n_inputs, -1, np.int32),
        entries=np.zeros(n_entries, np.int32),
        block_free=np.full(N_BLOCK_SIZES, -1, np.int32),
        counts=np.zeros(n_places, np.int32),
        touched=np.zeros(n_places, np.int32),
        mark=np.zeros(n_inputs, np.int64),
        counters=np.array([n_places, 0, 0, 0, 0], np.int64),
        connected=connected,
        one=one,
        bits=bits,
    )


def with_places(segments: Segments, n_places: int) -> Segments:
    """The same segments with room for ``n_places``; the counts are kept.

    Raises
    ------
    ShapeError
        If segments times synapses do not fit the 31-bit entries of the index.
    """
    _check_places(n_places, segments.bits)
    old = len(segments.cell)
    n_free = int(segments.counters[FREE])
    free = np.zeros(n_places, np.int32)
    free[: n_places - old] = np.arange(n_places - 1, old - 1, -1, dtype=np.int32)
    free[n_places - old : n_places - old + n_free] = segments.free[:n_free]
    segments.counters[FREE] = n_free + n_places - old
    cell = np.full(n_places, -1, np.int32)
    cell[:old] = segments.cell
    return segments._replace(
        cell=cell,
        n_synapses=_longer(segments.n_synapses, n_places),
        presynaptic=_longer(segments.presynaptic, n_places),
        permanence=_longer(segments.permanence, n_places),
        position=_longer(segments.position, n_places),
        last_used=_longer(segments.last_used, n_places),
        free=free,
        counts=_longer(segments.counts, n_places),
        touched=_longer(segments.touched, n_places),
    )


def with_entries(segments: Segments, n_entries: int) -> Segments:
    """The same segments with room for ``n_entries`` in the inverted index.

    Raises
    ------
    ShapeError
        If there are more than 2**31 - 1.
    """
    if n_entries > _LARGEST_CODE:
        raise ShapeError(
            f"the inverted index needs {n_entries} entries, more than {_LARGEST_CODE}: use fewer synapses"
        )
    return segments._replace(entries=_longer(segments.entries, n_entries))


def _longer(array: Array, length: int) -> Array:
    longer = np.zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _check_places(n_places: int, bits: int) -> None:
    if n_places << bits > _LARGEST_CODE + 1:
        raise ShapeError(
            f"{n_places} segments of up to {1 << bits} synapses exceed {_LARGEST_CODE + 1} index codes: "
            "lower the number of segments or of synapses a segment"
        )
