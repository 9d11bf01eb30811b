from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mocap.body.torch_figure import Figure
from training.capture import landmark_noise
from training.capture.landmark_noise import load
from training.capture.shards import load_shards
from training.fit_noise import NoiseConfig, fit_noise
from training.options import run

from .capture.small_shards import write_small_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    write_small_shards(folder / "pairs", 60)
    write_small_shards(folder / "clips", 6, frames=5, seed=1)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_noise, "_HIDDEN", 16)


def fitted(folder: Path, output: str, *options: str) -> int:
    paths = {"pairs": folder / "pairs", "clips": folder / "clips", "output": folder / output}
    given = [argument for name, path in paths.items() for argument in (f"--{name}", str(path))]
    return run(NoiseConfig, "", fit_noise, [*given, "--steps", "3", *options])


def test_the_file_holds_what_was_seen_of_frames_and_clips(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fitted(folder, "noise.pt") == 0
    assert "60 frames and 30 of clips" in capsys.readouterr().out
    model = load(folder / "noise.pt")
    assert model.single.shape == (60, 235)
    assert model.clips.shape == (6, 5, 235)
    shards = load_shards(folder / "clips", Figure())
    assert torch.equal(model.clip_there.flatten(), shards.seen.there)
    assert 0 < (~model.clip_there).sum() < 6
    assert not model.training


def test_the_same_seed_the_same_noise(folder: Path) -> None:
    for output, seed in (("first.pt", "1"), ("again.pt", "1"), ("other.pt", "2")):
        assert fitted(folder, output, "--seed", seed) == 0
    first, again, other = (load(folder / name).single for name in ("first.pt", "again.pt", "other.pt"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_part_of_the_shards_may_do(folder: Path) -> None:
    write_small_shards(folder / "pairs", 61, seed=2)
    assert fitted(folder, "part.pt", "--most", "50") == 0
    assert len(load(folder / "part.pt").single) == 60
    assert fitted(folder, "whole.pt", "--most", "0") == 0
    assert len(load(folder / "whole.pt").single) == 121


def test_what_is_missing_or_exchanged_is_one_clear_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fitted(folder, "none.pt", "--pairs", str(folder / "nowhere")) == 1
    assert capsys.readouterr().err.startswith("error: expected shards in")
    assert fitted(folder, "none.pt", "--pairs", str(folder / "clips")) == 1
    assert "found clips of 5 and 5 frames" in capsys.readouterr().err
    assert not (folder / "none.pt").exists()
