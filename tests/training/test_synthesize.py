from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.body.torch_figure import Figure
from mocap.errors import MocapError
from mocap.models.blazepose import load_landmarker
from mocap.people.landmarks import Observation
from mocap.types import Roi
from tests.training.capture.small_shards import people, seen_of, shard, truth_of
from tests.training.small_corpus import write_small_corpus
from training.capture.shards import load_shards
from training.datasets.corpus import Corpus
from training.options import run
from training.synthesis import pairs, scenery
from training.synthesis.pairs import PairConfig, PairMaker, first_square
from training.synthesis.renderer import Image, Renderer
from training.synthesize import SynthesisConfig, _path, _write, make_clips, make_shard, synthesize


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
    shard = make_shard(maker, SynthesisConfig(shard=12), 3)
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


def test_pictures_of_which_a_window_is_left_say_so(maker: PairMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "config", replace(maker.config, cut=1.0))
    people, _ = maker.people(4, 0)
    for index in range(4):
        scene = maker._scene(people, index, scenery.Scenery([0]), np.random.default_rng(index))
        assert scene.window is not None
        low, high = scene.window
        assert (low < high).all()
        picture = maker._picture(
            people, index, replace(scene, webcam=lambda picture, rng: picture), np.random.default_rng(0)
        )
        top, bottom = np.clip(np.floor(low[1]), 0, scene.height - 8), np.clip(np.ceil(high[1]), 8, scene.height)
        assert (picture[: int(top)] == picture[int(top)]).all()
        assert (picture[int(bottom) :] == picture[int(bottom) - 1]).all()
    assert make_shard(maker, SynthesisConfig(shard=6), 1)["cut"].all()
    monkeypatch.undo()
    assert not make_shard(maker, SynthesisConfig(shard=6), 1)["cut"].any()


def test_a_shard_depends_on_seed_and_number_alone(maker: PairMaker) -> None:
    first, again, other = (make_shard(maker, SynthesisConfig(shard=3), number) for number in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["betas"], other["betas"])


CLIPS = SynthesisConfig(shard=11, clip_frames=5)


@pytest.fixture
def few_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenery, "_ROOMS", 4)


def test_clips_follow_one_person_before_one_camera(maker: PairMaker, few_rooms: None, tmp_path: Path) -> None:
    found = make_clips(maker, CLIPS, 0)
    assert {len(part) for part in found.values()} == {10}  # two whole clips
    assert all(np.isfinite(part).all() for part in found.values())
    for name in ("betas", "size_px", "focal_px", "R_camera_world", "p_world_camera"):
        clips = found[name].reshape(2, 5, -1)
        assert (clips == clips[:, :1]).all(), name
        assert not np.array_equal(clips[0], clips[1]) or name == "size_px"
    rows = found["row"].reshape(2, 5)
    assert (np.diff(rows, axis=1) == 1).all()
    assert set(rows.ravel()) <= set(maker.corpus.frames("train"))
    np.testing.assert_array_equal(found["R"][:, 1:22], maker.corpus.rotations(found["row"])[:, 1:].numpy())
    _write(_path(replace(CLIPS, output=str(tmp_path)), 0), found)
    shards = load_shards(tmp_path, Figure())
    assert shards.clip_frames == 5
    np.testing.assert_allclose(shards.truth.p_camera_joint, found["p_camera_joint"], atol=1e-5)
    assert not shards.seen.there[found["score"] == 0].any()


def test_clips_depend_on_seed_and_number_alone(maker: PairMaker, few_rooms: None) -> None:
    config = replace(CLIPS, shard=3, clip_frames=3)
    first, again, other, seeded = (
        make_clips(maker, replace(config, seed=seed), number) for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["betas"], other["betas"])
    assert not np.array_equal(first["betas"], seeded["betas"])


def test_lost_frames_are_empty_and_the_next_looks_afresh(
    maker: PairMaker, few_rooms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    afresh: list[Roi] = []
    squares: list[Roi] = []
    look = maker._look

    def first(*given: object) -> Roi:
        afresh.append(first_square(*given))  # type: ignore[arg-type]
        return afresh[-1]

    def lost_once(picture: Image, square: Roi) -> Observation | None:
        squares.append(square)
        return look(picture, square) if len(squares) != 3 else None

    monkeypatch.setattr(pairs, "first_square", first)
    monkeypatch.setattr(maker, "_look", lost_once)
    found = make_clips(maker, replace(CLIPS, shard=5), 1)
    assert (found["score"] > 0).tolist() == [True, True, False, True, True]
    assert [square is other for square, other in zip(squares, afresh, strict=True)] == [True, False, False, True, False]
    for name in ("landmarks_px", "landmarks_world", "visibility", "roi"):
        assert not found[name][2].any()
        assert found[name][3].any()
    assert found["p_camera_joint"][2].any()  # the truth is known all the same


def test_who_is_hardly_seen_is_lost(maker: PairMaker, few_rooms: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "config", replace(maker.config, least_score=1.1))
    found = make_clips(maker, replace(CLIPS, shard=2, clip_frames=2), 0)
    assert found["score"].tolist() == [0, 0]
    assert not found["landmarks_px"].any()
    assert len(make_shard(maker, SynthesisConfig(shard=2), 0)["row"]) == 0


def test_made_up_shards_are_laid_out_alike(maker: PairMaker, few_rooms: None) -> None:
    """Those that the other tests take for shards."""
    real, some = make_shard(maker, SynthesisConfig(shard=2), 3), people(2)
    made_up = shard(some, seen_of(truth_of(some)))
    assert {name: (part.shape[1:], part.dtype) for name, part in made_up.items()} == {
        name: (part.shape[1:], part.dtype) for name, part in real.items()
    }


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
    assert [file.name for file in files] == ["train_0_2_1_00000.npz", "train_0_2_1_00001.npz"]
    assert "of 4" in capsys.readouterr().out
    expected = make_shard(maker, config, 1)
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
