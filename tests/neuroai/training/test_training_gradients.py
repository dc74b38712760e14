"""Gradients that are not finite: no checkpoint holds what they did."""

import pytest
import torch

from neuroai.training import Plan, train


class Samples:
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return index[:, None].float()


def test_a_gradient_that_is_not_finite_stops_a_run_before_its_checkpoint(tmp_path):
    """The loss stays finite, as the square root of 0 is; its slope is not."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)

    def loss(model, batch, generator):
        return model(batch).abs().sqrt().mean()

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    plan = Plan(1, 4, clip_norm=1.0, checkpoint_every=1)
    with pytest.raises(FloatingPointError, match="gradient of the steps up to 1"):
        train(model, optimizer, Samples(), loss, plan, folder=tmp_path)
    assert not list(tmp_path.glob("step-*"))
