"""Clips for INT: which frames they take, what is done to them, and what a validation on them says."""

from __future__ import annotations

from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.errors import MocapError
from tests.training.published.pictures import write_shard
from training.datasets.images.rendered import Rendered
from training.published.clip_looks import erased, jittered
from training.published.clips import MARGIN, ClipAugmentation, ClipExamples, Clips, ClipsConfig, Singles, open_clips
from training.published.crops import DEVIATION, MEAN
from training.published.examples import Examples
from training.published.points import OpenPoints
from training.published.sets import Mixed, Mixture
from training.published.validation import Validation

SIDE = 32
BLACK = torch.from_numpy(-MEAN / DEVIATION).float()[:, None, None]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("clips")
    write_shard(folder, 2, clip_frames=8)
    return Rendered(folder, OpenPoints("spin49"))


@pytest.fixture(scope="module")
def crops(people: Rendered) -> Examples:
    return Examples(Mixture([people]), "spin49", SIDE, MARGIN)


def rgb(seed: int = 0) -> NDArray[np.float32]:
    """Crops (3, 3, 16, 16), normalised."""
    values = np.random.default_rng(seed).uniform(0, 255, (3, 3, 16, 16))
    return ((values - MEAN[:, None, None]) / DEVIATION[:, None, None]).astype(np.float32)


def test_a_clip_takes_every_so_many_frames_from_every_start(people: Rendered) -> None:
    clips = Clips(people, people.clips, 3, 2)
    assert len(clips) == 2 * 4
    assert [sample.name for sample in clips[0]] == ["0", "2", "4"]
    assert [sample.name for sample in clips[7]] == ["11", "13", "15"]
    with pytest.raises(MocapError, match=r"expected 15 frames or more.*found clips of 8: --clips.every 3 "):
        Clips(people, people.clips, 3, 7)


def test_published_videos_are_cut_into_chunks_that_go_on_backwards(tmp_path: Path) -> None:
    count, names = 9, np.array(["a"] * 4 + ["b"] * 5)
    (tmp_path / "images").mkdir()
    for frame in range(count):
        cv2.imwrite(str(tmp_path / "images" / f"{frame}.png"), np.full((20, 20, 3), 20 * frame, np.uint8))
    box = np.tile([10.0, 10.0, 10.0, 10.0], (count, 1))
    fields = {"img_name": np.array([f"images/{frame}.png" for frame in range(count)]), "bbox": box, "vid_name": names}
    joblib.dump(fields, tmp_path / "posetrack_train_db.pt")
    spec, points = f"posetrack={tmp_path}", OpenPoints("spin49")
    clips = open_clips(spec, points, ClipsConfig(frames=2, every=3, chunk=4, stride=2))
    frames = [[Path(sample.name).stem for sample in clips[at]] for at in range(len(clips))]
    assert frames == [["0", "3"], ["4", "7"], ["6", "7"], ["8", "5"]]  # b is 4 5 6 7 8 7 6 5
    joblib.dump(
        {name: value for name, value in fields.items() if name != "vid_name"}, tmp_path / "posetrack_train_db.pt"
    )
    with pytest.raises(MocapError, match="expected clips, whose frames name their video"):
        open_clips(spec, points, ClipsConfig())


def test_a_crop_is_part_of_the_widest_one_and_no_larger() -> None:
    how, rng = ClipAugmentation(crop_rate=1.0), np.random.default_rng(0)
    for _ in range(200):
        one = how.draw(rng)
        assert (MARGIN - how.crop) / MARGIN <= one.scale <= 1
        for shift in one.shift:
            assert abs(shift) + one.scale / 2 <= 0.5 + 1e-9
    assert how.draw(rng).rotation == 0
    usual = [ClipAugmentation().draw(rng) for _ in range(2000)]
    assert np.mean([one.scale < 1 for one in usual]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([one.flip for one in usual]) == pytest.approx(0.5, abs=0.04)


def test_a_clip_is_cropped_mirrored_and_coloured_as_one(people: Rendered, crops: Examples) -> None:
    """The same picture twice stays the same picture; and labels move as the picture does."""

    class Twice:
        def __len__(self) -> int:
            return len(people)

        def __getitem__(self, index: int) -> list[object]:
            return [people[index]] * 2

    how = ClipAugmentation(crop_rate=1.0, erase_rate=0.0)
    make = ClipExamples(Mixed([Twice()]), crops, how)  # type: ignore[list-item]
    plain = ClipExamples(Mixed([Singles(people)]), crops, ClipAugmentation(0, 0, 0, 0, 0, 0))
    changed = 0
    for n in range(10):
        example = make(n)
        for name, array in example.items():
            assert np.array_equal(array[0], array[1]), name
        changed += not np.allclose(example["image"][0], plain(n)["image"][0])
    assert changed == 10


def test_colours_are_one_for_all_frames_and_none_at_zero() -> None:
    image = rgb()
    np.testing.assert_allclose(jittered(image, 1e-9, np.random.default_rng(0)), image, atol=2e-5)
    image[1] = image[0]
    for seed in range(8):
        found = jittered(image, 0.3, np.random.default_rng(seed))
        assert np.array_equal(found[0], found[1])
        assert np.abs(found - image).max() > 0.01
        levels = found * DEVIATION[:, None, None] + MEAN[:, None, None]
        assert levels.min() > -1e-3
        assert levels.max() < 255.001


def test_a_strip_at_one_side_is_black() -> None:
    image, rng, sides = np.ones((4, 3, 16, 16), np.float32), np.random.default_rng(0), set()
    for _ in range(40):
        frames = torch.from_numpy(erased(image, 0.5, 0.7, rng))
        black = torch.isclose(frames, BLACK, atol=1e-5).all(1)  # (4, 16, 16)
        assert torch.equal(frames.movedim(1, -1)[~black], torch.ones(int((~black).sum()), 3))
        for frame in black:
            rows, columns = frame.all(1), frame.all(0)
            assert frame.sum() in (16 * rows.sum(), 16 * columns.sum())  # whole rows, or whole columns
            assert min(rows.sum(), columns.sum()) == 0
            assert max(rows.sum(), columns.sum()) <= 0.7 * 16
        edges = {"top": black[:, 0], "bottom": black[:, -1], "left": black[..., 0], "right": black[..., -1]}
        found = {name for name, edge in edges.items() if edge.all(-1).any()}
        assert len(found) <= 1
        sides |= found
    assert sides == {"top", "bottom", "left", "right"}
    assert np.array_equal(erased(image, 0.0, 0.7, rng), image)


def test_a_validation_on_clips_gives_frames_back_in_their_order(people: Rendered, crops: Examples) -> None:
    """Eight frames are two clips of every second; what is right has no error, what shakes has one of acceleration."""
    validation = Validation(people, crops, 1, clip_frames=4)
    seen: list[Tensor] = []

    def find(clips: Tensor) -> Tensor:
        seen.append(clips)
        return clips.mean((-3, -2, -1))

    found = validation.found(find)
    assert [clips.shape for clips in seen] == [(2, 4, 3, SIDE, SIDE)] * 2
    singles = Validation(people, crops, 1).found(lambda pictures: pictures.mean((-3, -2, -1)))
    assert torch.allclose(found, singles)

    true = validation.joints
    order = iter(true.unflatten(0, (2, 4, 2)).transpose(1, 2))  # each video's two clips of four frames
    figures = validation.errors_mm(lambda clips: next(order))
    assert figures["acceleration_mm"] < 1e-3
    assert figures["mpjpe_mm"] < 1e-3
    shaking = iter((true + 0.01 * torch.randn(true.shape)).unflatten(0, (2, 4, 2)).transpose(1, 2))
    assert validation.errors_mm(lambda clips: next(shaking))["acceleration_mm"] > 10
    with pytest.raises(MocapError, match="multiple of 3 frames to validate on, found 2 clips of 8"):
        Validation(people, crops, 1, clip_frames=3)
