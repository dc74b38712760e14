r"""Attention of single queries, each over a range of keys of its own: a step of a decoder with a cache."""

from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.ragged_attention.cpu import ragged_attention_cpu
from neuroai_kernels.ragged_attention.reference import ragged_attention_reference

__all__ = ["ragged_attention"]


def ragged_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    first: Tensor,
    count: Tensor,
    *,
    implementation: Implementation | None = None,
) -> Tensor:
    r"""Softmax attention of each query over ``count`` keys from ``first`` on.

    .. math:: o_r = \sum_{j = f_r}^{f_r + c_r - 1}
              \frac{e^{q_r \cdot k_j / \sqrt d}}{\sum_{j'} e^{q_r \cdot k_{j'} / \sqrt d}}\, v_j

    Parameters
    ----------
    query : floating tensor (n, heads, d)
    key, value : tensor (m, heads, d)
        Of the same dtype and device. Ranges may overlap: queries can share keys.
    first, count : int64 tensor (n,)
        First key of each query and how many; ``0 <= first``, ``first + count <= m``. A query without keys
        gives zeros.
    implementation : {"reference", "cpu", "gpu"}, optional
        By the device when left out.

    Returns
    -------
    tensor (n, heads, d)
        Sums are taken in float32, in float64 for float64.

    Raises
    ------
    ShapeError
        If shapes, dtypes or devices do not fit, or (CPU) a range leaves the keys.

    Notes
    -----
    Reads each query's keys and values once, ``4 n c heads d`` operations; one launch, nothing is copied to
    the host, so it can be recorded in a CUDA graph. No gradient: for training use
    ``torch.nn.functional.scaled_dot_product_attention``.

    Examples
    --------
    >>> import torch
    >>> q, k = torch.zeros(1, 1, 2), torch.zeros(3, 1, 2)
    >>> v = torch.tensor([[[9.0, 9.0]], [[1.0, 0.0]], [[3.0, 4.0]]])
    >>> ragged_attention(q, k, v, torch.tensor([1]), torch.tensor([2])).tolist()
    [[[2.0, 2.0]]]
    """
    _check(query, key, value, first, count)
    form = choose(query, implementation)
    if form == "gpu":
        from neuroai_kernels.ragged_attention.gpu import ragged_attention_gpu

        return ragged_attention_gpu(query, key, value, first, count)
    if query.device.type == "cpu" and len(first) and (first.min() < 0 or (first + count).max() > len(key)):
        raise ShapeError(f"ranges of keys leave 0..{len(key)}, the keys there are")
    run = ragged_attention_cpu if form == "cpu" else ragged_attention_reference
    return run(query.detach(), key.detach(), value.detach(), first, count)


def _check(query: Tensor, key: Tensor, value: Tensor, first: Tensor, count: Tensor) -> None:
    if query.ndim != 3 or key.shape != value.shape or key.ndim != 3 or key.shape[1:] != query.shape[1:]:
        raise ShapeError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}: expected "
            "(n, heads, d), (m, heads, d), (m, heads, d)"
        )
    if first.shape != query.shape[:1] or count.shape != query.shape[:1]:
        raise ShapeError(
            f"first {tuple(first.shape)}, count {tuple(count.shape)}: expected one a query, "
            f"({query.shape[0]},)"
        )
    kinds = {(x.dtype, x.device) for x in (query, key, value)}
    if len(kinds) > 1 or not query.is_floating_point():
        raise ShapeError(f"query, key and value are {sorted(map(str, kinds))}: expected one floating kind")
