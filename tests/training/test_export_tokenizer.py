"""A run becomes an asset; the run is a checkpoint of the harness' layout, not a trained one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from mocap.body.torch_rotations import random_rotations
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, load_tokenizer
from tests.training.small_corpus import write_small_corpus
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import evaluate
from training.export_tokenizer import export, main

SIZES = TokenizerConfig(tokens=8, codes=16, code_dim=8, width=12, depth=1, upsamples=1, decoder_stages=1)


def write_run(folder: Path) -> PoseTokenizer:
    """A run whose moving average differs from its last weights; returns the average."""
    torch.manual_seed(0)
    last, average = PoseTokenizer(SIZES), AveragedModel(PoseTokenizer(SIZES))
    average.module.load(PoseTokenizer(SIZES).weights(), "average")
    folder.mkdir(parents=True)
    network = asdict(SIZES)
    state = {"network": network, "model": last.state_dict(), "ema": average.state_dict(), "step": 7, "best": 1.0}
    torch.save(state, folder / "best.ckpt")
    note = {"network": network, "step": 7, "loss": {"rotation": 50.0}, "noise": {}, "train": {"steps": 9}}
    (folder / "run.json").write_text(json.dumps(note))
    return average.module.eval()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    write_small_corpus(folder)
    with np.load(folder / "clips.npz") as file:
        clips = dict(file)
    np.savez(folder / "clips.npz", **{**clips, "source_names": np.array(["cmu_amc"])})
    return folder


def test_the_average_ships_with_its_own_figures(tmp_path: Path, corpus: Path) -> None:
    average, out = write_run(tmp_path / "run"), tmp_path / "assets" / "t.npz"
    assert main([str(tmp_path / "run"), "--corpus", str(corpus), "--out", str(out), "--most", "20"]) == 0
    shipped = load_tokenizer(out, expected=SIZES)
    for key, value in average.weights().items():
        torch.testing.assert_close(shipped.weights()[key], value, rtol=2**-11, atol=1e-7)
    R = random_rotations((5, 21), torch.Generator().manual_seed(1))
    with torch.no_grad():
        tokens = average.encode(R)
        torch.testing.assert_close(shipped.decode_tokens(tokens), average.decode_tokens(tokens), atol=5e-3, rtol=0)

    note = json.loads(out.with_suffix(".json").read_text())
    assert (note["step"], note["train"]["steps"], note["config"]["codes"]) == (7, 9, 16)
    assert note["size"]["bytes"] == out.stat().st_size
    assert note["trained_on"]["licences"].keys() == {"cmu_amc"}
    figures = evaluate(shipped, Corpus.open(corpus), ["test"], 20)
    assert note["figures"]["test"]["mpjpe_mm"] == pytest.approx(figures["test"]["mpjpe_mm"])
    assert {file.name for file in out.parent.iterdir()} == {"t.npz", "t.json"}


def test_a_source_without_a_licence_does_not_ship(tmp_path: Path, corpus: Path, capsys) -> None:
    with np.load(corpus / "clips.npz") as file:
        clips = dict(file)
    np.savez(corpus / "clips.npz", **{**clips, "source_names": np.array(["amass_kit"])})
    write_run(tmp_path / "run")
    arguments = [str(tmp_path / "run"), "--corpus", str(corpus), "--out", str(tmp_path / "t.npz"), "--most", "20"]
    with pytest.raises(SystemExit, match="1"):
        main(arguments)
    assert "--licence 'amass_kit=TEXT'" in capsys.readouterr().err
    assert not (tmp_path / "t.npz").exists()
    assert main([*arguments, "--licence", "amass_kit=research only"]) == 0
    assert json.loads((tmp_path / "t.json").read_text())["trained_on"]["licences"] == {"amass_kit": "research only"}


def test_an_interrupted_export_leaves_the_old_asset(tmp_path: Path, corpus: Path) -> None:
    write_run(tmp_path / "run")
    out = tmp_path / "t.npz"
    out.write_bytes(b"old")
    with pytest.raises(Exception, match="splits"):
        export(tmp_path / "run", out, Corpus.open(corpus), splits=["nonsense"])
    assert out.read_bytes() == b"old"
    assert not list(tmp_path.glob("unfinished*"))


def test_no_run(tmp_path: Path, corpus: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path / "none"), "--corpus", str(corpus), "--out", str(tmp_path / "t.npz")])
    assert "none" in capsys.readouterr().err
