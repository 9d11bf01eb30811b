"""The training loop on a task small enough to run in a test; `test_train_tokenizer.py` runs it over two processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.errors import MocapError
from training.harness import Share, TrainConfig, load_weights, train
from training.schedule import Sampler


class Line:
    """A linear network that learns a linear map from noisy samples."""

    best = "error"

    def __init__(self, width: int = 4, poison_step: int = -1) -> None:
        self.width, self.poison_step = width, poison_step
        self.x = torch.randn(200, width, generator=torch.Generator().manual_seed(1))
        self.y = self.x @ torch.arange(1.0, width + 1)

    def model(self) -> nn.Module:
        return nn.Linear(self.width, 1)

    def count(self) -> int:
        return len(self.x)

    def loss(self, model: nn.Module, rows: NDArray[np.int64], share: Share) -> dict[str, Tensor]:
        x = self.x[rows] + 0.1 * torch.randn(len(rows), self.width, generator=share.generator())
        error = (model(x[share.rows])[:, 0] - self.y[rows[share.rows]]).square().mean()
        return {"loss": error * (float("nan") if share.step == self.poison_step else 1.0)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {"error": float((model(self.x).detach()[:, 0] - self.y).square().mean())}

    def sidecar(self) -> dict[str, Any]:
        return {"network": {"width": self.width}, "data": "random"}


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        out=str(tmp_path / "run"), steps=60, batch_size=32, learning_rate=0.3, warmup_steps=5, ema_decay=0.9,
        accelerator="cpu", log_every=1, validate_every=20, checkpoint_every_s=0.0,
    )  # fmt: skip


def curve(out: str) -> dict[int, float]:
    rows = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def test_it_learns_and_leaves_what_is_needed(config):
    out = train(config, Line())
    losses = curve(config.out)
    assert list(losses) == list(range(1, 61))
    assert losses[60] < 0.1 * losses[1]
    note = json.loads((out / "run.json").read_text())
    assert note["network"] == {"width": 4}
    assert note["train"]["steps"] == 60
    model = nn.Linear(4, 1)
    load_weights(out / "best.ckpt", model, {"width": 4})
    assert Line().validate(model)["error"] == pytest.approx(note["validation"]["error"])


def test_stopped_and_resumed_is_the_same_curve(config, tmp_path):
    train(config, Line())
    other = replace(config, out=str(tmp_path / "stopped"))
    for _ in range(100):  # a tiny time limit stops it after every step
        train(replace(other, stop_after_s=1e-9), Line())
    assert curve(other.out) == pytest.approx(curve(config.out), rel=1e-6)


def test_another_network_in_the_folder_is_refused(config):
    train(replace(config, steps=2), Line())
    with pytest.raises(MocapError, match=r"expected a run of \{'width': 5\}, found \{'width': 4\}.*no-train.resume"):
        train(config, Line(width=5))
    train(replace(config, steps=2, resume=False), Line(width=5))
    with pytest.raises(MocapError, match=r"expected a network of \{'width': 4\}, found one of \{'width': 5\}"):
        load_weights(Path(config.out) / "best.ckpt", nn.Linear(4, 1), {"width": 4})


def test_nan_stops_with_the_last_good_checkpoint_kept(config):
    with pytest.raises(MocapError, match="not finite at step 7"):
        train(config, Line(poison_step=7))
    assert torch.load(Path(config.out) / "last.ckpt", weights_only=True)["step"] == 7
    train(config, Line())
    assert list(curve(config.out)) == list(range(1, 61))


def test_milestones_lower_the_rate_and_no_milestones_keep_it(config: TrainConfig) -> None:
    for milestones, ends in (([20, 40], 0.003), ([], 0.3)):
        steps = replace(config, schedule="steps", milestones=milestones, steps=45, resume=False)
        train(steps, Line())
        rows = [json.loads(line) for line in (Path(config.out) / "metrics.jsonl").read_text().splitlines()]
        rates = {row["step"]: row["learning_rate"] for row in rows if "loss" in row}
        assert rates[6] == pytest.approx(0.3)
        assert rates[45] == pytest.approx(ends)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_optimizers_learn_as_torchs_do(config: TrainConfig, optimizer: Literal["adamw", "adam", "sgd"]) -> None:
    """Two steps without clipping are those of torch's own."""
    chosen = replace(
        config, optimizer=optimizer, momentum=0.8, second_momentum=0.95, weight_decay=0.1, clip_norm=0.0, steps=2,
        learning_rate=0.01, warmup_steps=0, schedule="steps", ema_decay=0.0,
    )  # fmt: skip
    train(chosen, Line())
    found = nn.Linear(4, 1)
    load_weights(Path(config.out) / "best.ckpt", found, {"width": 4})
    torch.manual_seed(0)
    task = Line()
    model, sampler = task.model(), Sampler(task.count(), 32, 0)
    kinds = {
        "adamw": lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.95), weight_decay=0.1),
        "adam": lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.95), weight_decay=0.1),
        "sgd": lambda p: torch.optim.SGD(p, 0.01, 0.8, weight_decay=0.1),
    }
    expected = kinds[optimizer](model.parameters())
    for step in range(2):
        terms = task.loss(model, sampler(step), Share(step, 0, slice(0, 32), torch.device("cpu")))
        expected.zero_grad()
        terms["loss"].backward()
        expected.step()
    torch.testing.assert_close(found.weight, model.weight)
    torch.testing.assert_close(found.bias, model.bias)


def test_what_does_not_learn_stays(config: TrainConfig) -> None:
    class Half(Line):
        def model(self) -> nn.Module:
            model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
            model[0].requires_grad_(False)
            return model

    train(replace(config, steps=5, weight_decay=0.5), Half())
    torch.manual_seed(0)
    fresh = Half().model()
    state = torch.load(Path(config.out) / "last.ckpt", weights_only=True)["model"]
    assert torch.equal(state["0.weight"], fresh[0].weight)  # type: ignore[index]
    assert not torch.equal(state["1.weight"], fresh[1].weight)  # type: ignore[index]
