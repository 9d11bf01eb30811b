from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from mocap.models.blazepose import load_landmarker
from tests.training.small_corpus import write_small_corpus
from training.datasets.corpus import Corpus
from training.options import run
from training.synthesis.pairs import PairConfig, PairMaker, first_square
from training.synthesis.renderer import Renderer
from training.synthesize import SynthesisConfig, make_shard, synthesize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesis") / "corpus"
    write_small_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def maker(folder: Path) -> PairMaker:
    try:
        Renderer(8, 8)
    except MocapError as error:
        pytest.skip(str(error))
    config = PairConfig(longest_px=256, least_score=0.0)
    return PairMaker(Corpus.open(folder), "train", load_landmarker(), config)


def test_a_shard_holds_truth_and_what_was_seen(maker: PairMaker) -> None:
    shard = make_shard(maker, 12, seed=0, number=3)
    count = len(shard["row"])
    assert count >= 6
    assert {len(part) for part in shard.values()} == {count}
    assert shard["landmarks_px"].shape == (count, 33, 3)
    assert all(np.isfinite(part).all() for part in shard.values())
    body = maker.body
    R = torch.as_tensor(shard["R"])
    joints = body.joints(R, torch.zeros(count, 3), torch.as_tensor(shard["betas"]))
    there = (joints - joints[:, :1]).numpy() @ shard["R_camera_world"].swapaxes(1, 2)
    seen = shard["p_camera_joint"] - shard["p_camera_joint"][:, :1]
    np.testing.assert_allclose(there, seen, atol=1e-5)
    poses = maker.corpus.rotations(shard["row"])[:, 1:].numpy()
    np.testing.assert_array_equal(shard["R"][:, 1:22], poses)


def test_a_shard_depends_on_seed_and_number_alone(maker: PairMaker) -> None:
    first, again, other = (make_shard(maker, 3, seed=0, number=number) for number in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["betas"], other["betas"])


def test_the_first_square_is_around_the_body_head_up() -> None:
    joints = np.full((24, 2), 100.0)
    joints[16:18, 1] = 60  # shoulders above the hips
    joints[15, 1] = 20
    roi = first_square(joints, np.random.default_rng(0))
    assert roi.center_px == pytest.approx((100, 100), abs=20)
    assert roi.size_px == pytest.approx(2 * 1.25 * 84, rel=0.3)
    assert abs(roi.rotation) < 0.1


def test_shards_are_made_once_and_by_any_number_of_processes(
    maker: PairMaker, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = SynthesisConfig(
        corpus=str(folder), output=str(tmp_path), frames=4, shard=2, processes=2, pair=maker.config
    )
    synthesize(config)
    files = sorted(tmp_path.glob("*.npz"))
    assert [file.name for file in files] == ["train_0_2_00000.npz", "train_0_2_00001.npz"]
    assert "of 4" in capsys.readouterr().out
    expected = make_shard(maker, 2, seed=0, number=1)
    with np.load(files[1]) as shard:
        assert set(shard) == set(expected)
        np.testing.assert_array_equal(shard["R"], expected["R"])
        np.testing.assert_allclose(shard["landmarks_px"], expected["landmarks_px"], atol=0.1)
    before = files[0].stat().st_mtime_ns
    synthesize(config)
    assert files[0].stat().st_mtime_ns == before


def test_a_sheet_is_a_picture(maker: PairMaker, folder: Path, tmp_path: Path) -> None:
    config = SynthesisConfig(corpus=str(folder), sheet=str(tmp_path / "sheet.png"), pair=maker.config)
    synthesize(config)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_no_corpus_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SynthesisConfig, "", synthesize, ["--corpus", str(tmp_path / "none")]) == 1
    assert "training.make_corpus" in capsys.readouterr().err
