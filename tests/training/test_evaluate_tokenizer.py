"""The figures by which a tokenizer is judged, on poses whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body.joint_limits import joint_limits
from mocap.body.skeleton import JOINT
from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from mocap.errors import MocapError
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig
from tests.training.small_corpus import SPLITS, write_small_corpus
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import (
    Meter,
    evaluate,
    held_out,
    inside_limits,
    load_run,
    poison,
    random_poses,
    reconstruction,
    robustness,
    table,
)  # fmt: skip

SMALL = TokenizerConfig(tokens=8, codes=16, code_dim=8, width=16, depth=1, upsamples=1, decoder_stages=1)


@pytest.fixture(scope="module")
def meter() -> Meter:
    return Meter()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("evaluate") / "corpus"
    write_small_corpus(folder)
    return Corpus.open(folder)


def rest(count: int = 1) -> Tensor:
    return torch.eye(3).expand(count, 21, 3, 3).clone()


class Perfect(PoseTokenizer):
    """Remembers what it encoded: its tokens count the poses."""

    def encode(self, R: Tensor) -> Tensor:
        self.seen = R
        return torch.zeros(len(R), self.config.tokens, dtype=torch.int64)

    def decode_tokens(self, indices: Tensor) -> Tensor:
        return self.seen


def test_a_bent_elbow_moves_wrist_and_hand_by_a_chord(meter: Meter) -> None:
    bent = rest()
    bent[0, JOINT["left_elbow"] - 1] = axis_angle_to_matrix(torch.tensor([0.0, -np.pi / 2, 0.0]))
    joints = meter.joints(rest())[0]
    errors = meter.mpjpe(bent, rest())[0]
    moved = {JOINT["left_wrist"], JOINT["left_hand"]}
    for joint in range(1, 24):
        arm = float((joints[joint] - joints[JOINT["left_elbow"]])[[0, 2]].norm())  # the turn is about the vertical
        expected = 1e3 * 2**0.5 * arm if joint in moved else 0.0
        assert float(errors[joint - 1]) == pytest.approx(expected, abs=0.05)
    assert 1 < float(meter.mve(bent, rest())) < float(errors.max())


def test_a_perfect_tokenizer_has_no_error_and_one_that_ignores_its_input_has_the_mean(meter: Meter) -> None:
    poses = axis_angle_to_matrix(0.3 * torch.randn(300, 21, 3, generator=torch.Generator().manual_seed(0)))
    figures = reconstruction(Perfect(SMALL), poses, meter)
    assert figures["mpjpe_mm"] < 0.01
    assert figures["mve_mm"] < 0.01
    assert figures["code_use"] == 1 / 16
    assert max(figures["per_joint_mm"].values()) < 0.01
    assert reconstruction(PoseTokenizer(SMALL).eval(), poses, meter)["mpjpe_mm"] > 30


def test_noise_that_passes_unchanged_is_not_closer(meter: Meter) -> None:
    figures = robustness(Perfect(SMALL), rest(64), meter)
    assert figures["input_mpjpe_mm"] > 20
    assert figures["closer_by"] == pytest.approx(0, abs=1e-6)


def test_a_tenth_of_the_joints_is_poisoned() -> None:
    poses = rest(1000)
    poisoned = poison(poses, torch.Generator().manual_seed(0))
    changed = (poisoned != poses).flatten(2).any(-1).float()
    assert float(changed.mean()) == pytest.approx(0.1, abs=0.01)
    torch.testing.assert_close(poisoned @ poisoned.transpose(-1, -2), poses, atol=1e-5, rtol=0)


def test_limits_tell_anatomy_from_noise() -> None:
    limits = joint_limits()
    neutral = torch.as_tensor(limits.R_neutral[1:22]).float()[None]
    assert (inside_limits(neutral) == 1).all()
    anything = random_rotations((500, 21), torch.Generator().manual_seed(0))
    assert inside_limits(anything).mean() < 0.2
    backwards = neutral.clone()
    backwards[0, JOINT["left_knee"] - 1] = axis_angle_to_matrix(torch.tensor([-1.5, 0.0, 0.0]))
    share = dict(zip(limits.joints, inside_limits(backwards), strict=True))
    assert share.pop(JOINT["left_knee"]) == 0
    assert all(share.values())


def test_random_poses_come_from_the_seed_and_are_rotations() -> None:
    model = PoseTokenizer(SMALL).eval()
    poses = random_poses(model, 300, seed=1)
    assert torch.equal(poses, random_poses(model, 300, seed=1))
    assert not torch.equal(poses, random_poses(model, 300, seed=2))
    torch.testing.assert_close(poses @ poses.transpose(-1, -2), rest(300), atol=1e-5, rtol=0)


def test_the_whole_evaluation(corpus: Corpus) -> None:
    figures = evaluate(PoseTokenizer(SMALL).eval(), corpus, ["test", "ood"], most=25)
    assert figures["test"]["poses"] == 25
    lines = list(table(figures))
    assert len(lines) == 4
    assert "ood" in lines[2]
    json.dumps(figures)


def test_held_out_poses_are_spread_over_the_split(corpus: Corpus) -> None:
    rows = corpus.rows("test")
    chosen = held_out(corpus, "test", 20)
    assert torch.equal(chosen, corpus.body_poses(rows[::2]))
    assert len(held_out(corpus, "val", 10_000)) == SPLITS["val"]


def test_figures_of_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"training\.train_tokenizer"):
        load_run(tmp_path / "none")
