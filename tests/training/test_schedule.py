from __future__ import annotations

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from training.schedule import Sampler, WeightAverage, learning_rate_at, moving_average, stepped_learning_rate


def test_every_sample_once_an_epoch_and_the_same_again():
    sampler = Sampler(10, 4, seed=3)
    drawn = np.concatenate([sampler(step) for step in range(5)])  # two epochs, with a step that crosses them
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert (Sampler(10, 4, seed=3)(2) == drawn[8:12]).all()  # whatever came before
    assert (Sampler(10, 4, seed=4)(0) != drawn[:4]).any()


def test_fewer_samples_than_a_batch_are_refused():
    with pytest.raises(MocapError, match="3 samples, fewer than a batch of 4"):
        Sampler(3, 4, 0)


def test_learning_rate_rises_and_falls():
    rates = [learning_rate_at(step, 0.3, 5, 60) for step in range(60)]
    assert rates[0] == pytest.approx(0.06)
    assert max(rates) == rates[4] == pytest.approx(0.3)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.01


def test_learning_rate_falls_in_steps():
    rates = [stepped_learning_rate(step, 0.3, 5, [20, 30]) for step in range(40)]
    assert rates[:5] == [pytest.approx(0.06 * step) for step in range(1, 6)]
    assert set(rates[5:20]) == {0.3}
    assert rates[20:] == [pytest.approx(0.03)] * 10 + [pytest.approx(0.003)] * 10
    assert {stepped_learning_rate(step, 0.3, 0, []) for step in range(40)} == {0.3}


def test_the_average_soon_forgets_the_start_and_then_follows_slowly():
    update = moving_average(0.99)
    average, weights = [torch.tensor([100.0])], [torch.tensor([1.0])]
    for count in range(1, 100):
        update(average, weights, count)
    assert float(average[0]) == pytest.approx(1, abs=1e-3)
    update(average, [torch.tensor([2.0])], torch.tensor(100_000))
    assert float(average[0]) == pytest.approx(1.01, abs=1e-3)


def test_the_averages_batch_norms_fit_the_average():
    network = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.BatchNorm1d(4, affine=False)).requires_grad_(False)
    average = WeightAverage(network, 0.99)
    x = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    for step in range(600):
        network[0].bias.fill_(0.1 * step)  # still learning: what it gives moves
        network(x)
        average.update_parameters(network)
    kept = average.module.eval()
    copied = torch.nn.functional.batch_norm(kept[0](x), network[1].running_mean, network[1].running_var)
    assert kept(x).mean(0).abs().max() < 0.2 * copied.mean(0).abs().max()  # the network's own are far ahead
    assert int(kept[1].num_batches_tracked) == 600
