from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engines
from engines.parity import relative_error
from mocap.models.regressor import PoseHeads, RegressorConfig, TokenRegressor, inside_picture
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig

TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
SMALL = RegressorConfig(width=16, depth=2, heads=2, image_channels=6, image_places=4, slot_width=8)
PERSONS = 3


class Whole(nn.Module):
    def __init__(self, config: RegressorConfig = SMALL) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.regressor = TokenRegressor(config)
        self.heads = PoseHeads(config, PoseTokenizer(TOKENIZER))
        for parameter in self.regressor.blocks.parameters():  # fresh blocks are the identity
            parameter.data.add_(0.2 * torch.randn_like(parameter))
        self.eval()

    def forward(self, **seen: Tensor) -> dict[str, Tensor]:
        out: dict[str, Tensor] = self.heads(self.regressor(**seen), seen["roi"], seen["camera"])
        return out


def seen(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "landmarks_px": 400 + 100 * torch.randn(PERSONS, 33, 3, generator=generator),
        "landmarks_world": torch.randn(PERSONS, 33, 3, generator=generator),
        "visibility": torch.rand(PERSONS, 33, generator=generator),
        "roi": torch.tensor([400.0, 380, 500, 0.1]).expand(PERSONS, 4),
        "camera": torch.tensor([900.0, 640, 360, 0.2]).expand(PERSONS, 4),
        "shape": torch.randn(PERSONS, 11, generator=generator),
        "image": torch.randn(PERSONS, 4, 6, generator=generator),
    }


@pytest.fixture(scope="module")
def whole() -> Whole:
    return Whole()


@torch.no_grad()
def test_a_pose_of_rotations(whole: Whole) -> None:
    out = whole(**seen())
    assert out["logits"].shape == (PERSONS, 42, 16)
    assert out["betas"].shape == (PERSONS, 10)
    assert out["camera"].shape == (PERSONS, 3)
    assert out["contact"].shape == (PERSONS, 2)
    assert out["R"].shape == (PERSONS, 22, 3, 3)
    torch.testing.assert_close(out["R"] @ out["R"].mT, torch.eye(3).expand_as(out["R"]), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_landmark_that_is_not_there_says_nothing(whole: Whole) -> None:
    given, other = seen(), seen(seed=1)
    hidden = torch.zeros(33, dtype=torch.bool)
    hidden[[0, 15, 31]] = True
    given["visibility"][:, hidden] = -1
    changed = {
        **given,
        **{n: torch.where(hidden[:, None], other[n], given[n]) for n in ("landmarks_px", "landmarks_world")},
    }
    assert torch.equal(whole(**given)["R"], whole(**changed)["R"])
    given["visibility"][:] = -1
    assert torch.isfinite(whole(**given)["R"]).all()


@torch.no_grad()
def test_the_place_in_the_picture_counts_only_by_its_ray(whole: Whole) -> None:
    given, move = seen(), torch.tensor([120.0, -40.0])
    given["landmarks_px"] = 400 + 0.2 * (given["landmarks_px"] - 400)  # well inside the picture
    moved = {**given, "landmarks_px": given["landmarks_px"] + torch.cat([move, torch.zeros(1)])}
    moved["roi"] = given["roi"] + torch.cat([move, torch.zeros(2)])
    assert (whole(**moved)["R"] - whole(**given)["R"]).abs().max() > 1e-4
    moved["camera"] = given["camera"] + torch.cat([torch.zeros(1), move, torch.zeros(1)])
    torch.testing.assert_close(whole(**moved)["R"], whole(**given)["R"], rtol=0, atol=1e-4)
    doubled = {**given, "landmarks_px": 2 * given["landmarks_px"]}
    doubled["roi"] = given["roi"] * torch.tensor([2, 2, 2, 1])
    doubled["camera"] = given["camera"] * torch.tensor([2, 2, 2, 1])
    torch.testing.assert_close(whole(**doubled)["R"], whole(**given)["R"], rtol=0, atol=1e-4)


def test_landmarks_outside_the_picture_are_told_from_those_inside() -> None:
    px = torch.tensor([[10.0, 300, 7], [1270, 300, 7], [640, 715, 7], [-30, 360, 7], [640, 900, 7], [2000, -5, 7]])
    inside = inside_picture(px[None], torch.tensor([[900.0, 640, 360, 0]]))
    assert inside[0, :, 0].tolist() == [10, 10, 5, -30, -180, -720]


@torch.no_grad()
def test_persons_do_not_see_each_other(whole: Whole) -> None:
    given = seen()
    alone = torch.cat([whole(**{name: part[i : i + 1] for name, part in given.items()})["R"] for i in range(PERSONS)])
    torch.testing.assert_close(alone, whole(**given)["R"], rtol=0, atol=1e-5)


def test_all_but_the_tokenizer_learns() -> None:
    model = Whole()
    given = seen()
    given["visibility"][0, 3] = -1
    out = model(**given)
    sum((part.square() * torch.arange(part[0].numel()).view(part[0].shape)).sum() for part in out.values()).backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert {name for name in still if "tokenizer" not in name} == set()
    assert all(name in still for name, _ in model.named_parameters() if "tokenizer" in name)


@torch.no_grad()
def test_works_without_image_features() -> None:
    given = seen()
    del given["image"]
    assert torch.isfinite(Whole(RegressorConfig(width=16, depth=1, heads=2, slot_width=8))(**given)["R"]).all()


@pytest.mark.parametrize("backend", ["eager", "openvino", "onnxruntime"])
def test_runs_in_every_engine(whole: Whole, backend: str, tmp_path: Path) -> None:
    inputs = {name: value.numpy() for name, value in seen().items()}
    with torch.no_grad():
        expected = whole(**seen())
    spec = engines.EngineSpec(
        inputs={name: engines.TensorSpec(value.shape[1:]) for name, value in inputs.items()},
        outputs=tuple(expected),
        max_batch=PERSONS,
    )
    network = engines.of_module(whole, spec, "regressor", engines.Trial(dict(inputs)))
    engine = engines.compile(network, backend, cache_dir=tmp_path)
    out = engine(inputs)
    for name, value in expected.items():
        assert relative_error(out[name], value.numpy()) < 1e-3, name
        assert np.isfinite(out[name]).all()
