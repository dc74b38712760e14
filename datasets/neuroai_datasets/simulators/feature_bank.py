"""The feature map that the simulated cortex reads: oriented energy in colour, whitened."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai_datasets.errors import DataError

# Opponent axes after Ruderman, Cronin & Chiao (1998), up to scale: luminance, blue-yellow, red-green.
_COLOUR_AXES = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]], dtype=np.float64)
_BANK_SEED = 20_241_014


def planted_features(images: ArrayLike, n_channels: int = 16, grid: int = 8) -> NDArray[np.float32]:
    r"""Compute the feature map :math:`F` that the simulated populations read from.

    Each picture is divided into ``grid`` x ``grid`` cells :math:`P_{ij}`. Channel :math:`c` of a
    cell is the energy of a quadrature pair of Gabor filters in an opponent colour,

    .. math:: E_c(P) = \log\left(1 + \sqrt{\langle P, g_c\rangle^2 + \langle P, h_c\rangle^2}\right),

    and the channels are then centred and whitened (ZCA) over all cells of all given pictures, so
    that :math:`F` has mean 0 and identity covariance over cells.

    Parameters
    ----------
    images : array-like, shape (n, size, size, 3) or (n, size, size)
        Pictures, any real dtype, 0 to 255. ``size`` must be a multiple of ``grid`` and a cell at
        least 4 pixels wide.
    n_channels : int
        Number of channels C, 1 to 64. The filters are fixed: they depend on nothing else.
    grid : int
        Cells per side.

    Returns
    -------
    ndarray of float32, shape (n, n_channels, grid, grid)
        Row ``i`` belongs to picture ``i``.

    Raises
    ------
    DataError
        If the shape, the grid or the number of channels does not fit, or the pictures vary too
        little to whiten (all alike, say).

    Notes
    -----
    Time O(n size^2 C), memory 8 bytes times the pictures' elements. The whitening uses all pictures
    given: features of a part of the pictures alone differ from rows of the whole.

    Examples
    --------
    >>> from neuroai_datasets.simulators import photograph_crops
    >>> planted_features(photograph_crops(20)).shape
    (20, 16, 8, 8)
    """
    cells = _cells(np.asarray(images), grid)
    if not 1 <= n_channels <= 64:
        raise DataError(f"n_channels is {n_channels}, expected 1 to 64")
    even, odd, colour = _gabor_pairs(n_channels, cells.shape[-2])
    n_cells = cells.shape[0] * grid * grid
    opponent = cells @ (_COLOUR_AXES / np.linalg.norm(_COLOUR_AXES, axis=1, keepdims=True)).T
    flat = opponent.reshape(n_cells, -1, 3)
    energy = np.empty((n_cells, n_channels))
    for axis in range(3):
        chosen = colour == axis
        along = flat[:, :, axis] @ even[chosen].T, flat[:, :, axis] @ odd[chosen].T
        energy[:, chosen] = np.log1p(np.hypot(*along))
    white = _whiten(energy).reshape(cells.shape[0], grid, grid, n_channels)
    return np.ascontiguousarray(white.transpose(0, 3, 1, 2), dtype=np.float32)


def _cells(images: NDArray[np.generic], grid: int) -> NDArray[np.float64]:
    """Pictures as (n, grid, grid, pixels of a cell, 3)."""
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise DataError(f"images have shape {images.shape}, expected (n, size, size, 3) or (n, size, size)")
    n, size = images.shape[:2]
    if grid < 1 or size % grid or size // grid < 4:
        raise DataError(
            f"pictures of {size} pixels cannot be divided into {grid} x {grid} cells of at least 4 pixels: "
            "choose a grid that divides the size, or resize the pictures"
        )
    width = size // grid
    blocks = images.reshape(n, grid, width, grid, width, 3).swapaxes(2, 3)
    return blocks.reshape(n, grid, grid, width * width, 3).astype(np.float64)


def _gabor_pairs(
    n_channels: int, n_pixels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return even and odd filters (C, pixels) of unit norm and zero mean, and the colour axis of each."""
    width = round(n_pixels**0.5)
    y, x = np.mgrid[:width, :width] - (width - 1) / 2
    envelope = np.exp(-(x**2 + y**2) / (2 * (width / 3) ** 2))
    rng = np.random.default_rng(_BANK_SEED)
    even, odd = np.empty((2, n_channels, n_pixels))
    for c in range(n_channels):
        angle, cycles = rng.uniform(0, np.pi), rng.uniform(0.8, 2.2)
        phase = 2 * np.pi * cycles / width * (x * np.cos(angle) + y * np.sin(angle))
        for bank, carrier in ((even, np.cos(phase)), (odd, np.sin(phase))):
            wave = envelope * carrier
            wave -= envelope * wave.sum() / envelope.sum()
            bank[c] = (wave / np.linalg.norm(wave)).ravel()
    return even, odd, np.arange(n_channels) % 3


def _whiten(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre and whiten columns by the symmetric inverse root of their covariance."""
    centred = energy - energy.mean(axis=0)
    variance, basis = np.linalg.eigh(centred.T @ centred / len(centred))
    if variance[0] <= 1e-9 * max(variance[-1], 1e-300):
        raise DataError(
            f"{len(energy)} picture cells span fewer than {energy.shape[1]} dimensions of the feature map: "
            "give more, or more varied, pictures, or ask for fewer channels"
        )
    white: NDArray[np.float64] = centred @ (basis / np.sqrt(variance)) @ basis.T
    return white
