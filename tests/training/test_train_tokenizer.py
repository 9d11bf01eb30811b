"""The tokenizer's training over processes, killed and resumed, on a corpus of a few random poses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, save_tokenizer
from tests.training.small_corpus import write_small_corpus
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import load_run
from training.harness import Share
from training.train_tokenizer import TokenizerRun, TokenizerTask

ROOT = Path(__file__).parents[2]
CONFIG = """
vertices: 64
validation_poses: 32
network: {tokens: 8, codes: 16, code_dim: 8, width: 16, depth: 1, upsamples: 1, decoder_stages: 1}
loss: {vertices: 10}
noise: {start: 0.05, replaced: 0.1}
train:
  steps: 12
  batch_size: 16
  learning_rate: 0.001
  warmup_steps: 2
  ema_decay: 0.9
  accelerator: cpu
  threads: 1
  log_every: 1
  validate_every: 6
  checkpoint_every_s: 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_small_corpus(folder / "corpus")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """A run of one process, not interrupted."""
    assert start(folder, "whole").wait() == 0
    return folder / "whole"


def start(folder: Path, name: str, *options: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "training.train_tokenizer", "--config", str(folder / "config.yaml"),
        "--corpus", str(folder / "corpus"), "--train.out", str(folder / name), *options,
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def curve(run: Path) -> dict[int, float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines) if "loss" in row}


def test_the_loss_falls_and_the_run_describes_itself(whole: Path) -> None:
    losses = curve(whole)
    assert list(losses) == list(range(1, 13))
    assert losses[12] < losses[1]
    note = json.loads((whole / "run.json").read_text())
    assert note["network"]["codes"] == 16
    assert note["data"]["seed"] == 0
    assert note["validation"]["mpjpe_mm"] > 0
    assert list((whole / "tensorboard").iterdir())


def test_two_processes_follow_the_curve_of_one(folder: Path, whole: Path) -> None:
    assert start(folder, "two", "--train.devices", "2").wait() == 0
    one, two = curve(whole), curve(folder / "two")
    assert list(two) == list(one)
    np.testing.assert_allclose(list(two.values()), list(one.values()), rtol=1e-4)


def test_a_killed_run_goes_on_along_the_same_curve(folder: Path, whole: Path) -> None:
    process = start(folder, "killed")
    until = time.monotonic() + 120
    log = folder / "killed" / "metrics.jsonl"
    while not (log.is_file() and len(log.read_text().splitlines()) >= 4):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # the default handler: it dies at once, as by kill -9, on Windows too
    assert process.wait() != 0
    assert start(folder, "killed").wait() == 0
    one, resumed = curve(whole), curve(folder / "killed")
    assert list(resumed) == list(one)
    np.testing.assert_allclose(list(resumed.values()), list(one.values()), rtol=1e-6)


def test_training_goes_on_from_a_shipped_tokenizer(folder: Path, whole: Path) -> None:
    config = TokenizerConfig(**json.loads((whole / "run.json").read_text())["network"])
    save_tokenizer(load_run(whole), folder / "shipped.npz", {})
    run = TokenizerRun(corpus=str(folder / "corpus"), start=str(folder / "shipped.npz"), network=config)
    model = TokenizerTask(run).model()
    assert isinstance(model, PoseTokenizer)
    poses = Corpus.open(folder / "corpus").body_poses(np.arange(20))
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(poses).R, load_run(whole)(poses).R)
    other = replace(run, network=replace(config, codes=32))
    with pytest.raises(MocapError, match=r"codebook 32 × 8.*codebook 16 × 8"):
        TokenizerTask(other).model()


def test_random_tokens_are_drawn_to_real_poses(folder: Path) -> None:
    network = TokenizerConfig(tokens=21, codes=16, code_dim=4, width=16, depth=1, per_joint=True)
    task = TokenizerTask(TokenizerRun(corpus=str(folder / "corpus"), network=network, limits=0.0, random_poses=64))
    torch.manual_seed(0)
    model, rows, curve = task.model(), np.arange(64), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(40):
        terms = task.loss(model, rows, Share(step, 0, slice(0, 64), torch.device("cpu")))
        curve.append(terms["prior"].item())
        optimizer.zero_grad()
        terms["prior"].backward()
        optimizer.step()
    assert np.mean(curve[-5:]) < 0.5 * curve[0]


def test_recorded_poses_may_count_more_often(folder: Path) -> None:
    run = TokenizerRun(corpus=str(folder / "corpus"), recorded=3)
    assert TokenizerTask(run).count() == 3 * TokenizerTask(replace(run, recorded=1)).count()


def test_a_run_of_another_size_is_not_continued(folder: Path, whole: Path) -> None:
    done = fail(folder, "--train.out", str(whole), "--network.codes", "32")
    assert "'codes': 32" in done
    assert "'codes': 16" in done


def test_no_corpus(folder: Path) -> None:
    assert "training.make_corpus" in fail(folder, "--corpus", str(folder / "none"))


def fail(folder: Path, *options: str) -> str:
    """What a run that cannot start says."""
    command = [
        sys.executable, "-m", "training.train_tokenizer", "--config", str(folder / "config.yaml"),
        "--corpus", str(folder / "corpus"), *options,
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    return done.stderr
