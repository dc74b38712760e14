"""Layer ensembles: weights sum to one, runs are averaged."""

import math

import pytest
import torch

from neuroai.encoders.ensemble import ensemble_layers
from neuroai.errors import ShapeError


def test_weights_are_a_softmax_of_mean_scores():
    torch.manual_seed(0)
    predictions = [[torch.randn(6, 4) for _ in range(3)] for _ in range(2)]
    scores = [[torch.rand(4) for _ in range(3)] for _ in range(2)]
    mixed, weights = ensemble_layers(predictions, scores)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    for v in range(4):
        c = [sum(float(run[v]) for run in layer) / 3 for layer in scores]
        share = 1 / (1 + math.exp(40 * (c[1] - c[0])))
        mean = [sum(run[:, v] for run in layer) / 3 for layer in predictions]
        torch.testing.assert_close(mixed[:, v], share * mean[0] + (1 - share) * mean[1])


def test_equal_predictions_come_back_unscaled():
    y = torch.randn(5, 3)
    scores = [[torch.tensor([0.1, 0.9, math.nan])] * 10, [torch.tensor([0.3, 0.2, math.nan])] * 10]
    mixed, weights = ensemble_layers([[y] * 10] * 2, scores)
    torch.testing.assert_close(mixed, y)
    torch.testing.assert_close(weights[2], torch.tensor([0.5, 0.5]))


def test_scores_must_match_predictions():
    y, r = torch.zeros(2, 1), torch.zeros(1)
    for predictions, scores in (([[y]], [[r], [r]]), ([[y, y]], [[r]]), ([[]], [[]])):
        with pytest.raises(ShapeError, match="runs"):
            ensemble_layers(predictions, scores)
