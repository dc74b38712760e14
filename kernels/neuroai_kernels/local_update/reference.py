"""One local learning step for every system that has one: an outer product, averaged over samples.

It is one matrix product, so the device's own library is already its fastest form.
"""

import torch
from torch import Tensor

__all__ = ["local_update"]


def local_update(
    pre: Tensor, post: Tensor, gate: Tensor | None = None, *, parameter: Tensor | None = None
) -> Tensor:
    r"""Mean of :math:`\mathrm{gate}\;\mathrm{post}\;\mathrm{pre}^T` over samples.

    Parameters
    ----------
    pre : Tensor (..., b, n_pre)
        Activity on the sending side; leading dimensions are populations.
    post : Tensor (..., b, n_post)
    gate : Tensor (..., b), optional
        Factor of each sample: a reward, an eligibility, a mask.
    parameter : Tensor (..., n_post, n_pre), optional
        Weights whose ``.grad`` becomes *minus* the update (added to one that is there), so that a torch
        optimiser, which descends, follows the update.

    Returns
    -------
    Tensor (..., n_post, n_pre)
        Without an autograd graph.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Notes
    -----
    Time ``O(b n_pre n_post)`` a population, memory the result.

    Examples
    --------
    >>> pre, post = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])
    >>> weights = torch.nn.Parameter(torch.zeros(1, 2))
    >>> _ = local_update(pre, post, parameter=weights)
    >>> torch.optim.SGD([weights], lr=0.1).step()
    >>> weights.data
    tensor([[0.3000, 0.6000]])
    """
    if pre.shape[:-1] != post.shape[:-1] or pre.ndim < 2:
        raise ValueError(
            f"pre {tuple(pre.shape)} and post {tuple(post.shape)} must agree in all but the last dimension"
        )
    if gate is not None and gate.shape != pre.shape[:-1]:
        raise ValueError(f"gate has shape {tuple(gate.shape)}; {tuple(pre.shape[:-1])} is needed")
    with torch.no_grad():
        weighted = post if gate is None else post * gate.unsqueeze(-1)
        update = weighted.mT @ pre / pre.shape[-2]
        if parameter is not None:
            if parameter.shape != update.shape:
                raise ValueError(
                    f"parameter has shape {tuple(parameter.shape)}; {tuple(update.shape)} is needed"
                )
            parameter.grad = -update if parameter.grad is None else parameter.grad - update
    return update
