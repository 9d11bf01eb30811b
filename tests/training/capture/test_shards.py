from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.body.torch_figure import Figure
from mocap.errors import MocapError
from training.capture.shards import load_shards
from training.capture.truth import Seen

from .small_shards import people, seen_of, truth_of, write_shard, write_small_shards

SOME = people(12)
TRUTH = truth_of(SOME)


def test_truth_and_what_was_seen_come_back(tmp_path: Path) -> None:
    seen = seen_of(TRUTH, error=0.01)
    write_shard(tmp_path, SOME, seen)
    found = load_shards(tmp_path, Figure())
    assert len(found) == 12
    assert found.clip_frames == 1
    for name, part in vars(TRUTH).items():
        torch.testing.assert_close(getattr(found.truth, name), part, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.truth.p_camera_joint, SOME.views.to_camera(SOME.p_world_joint), rtol=0, atol=1e-5)
    for name, part in vars(seen).items():
        assert torch.equal(getattr(found.seen, name), part)


def test_pictures_of_which_a_window_is_left_can_be_left_out(tmp_path: Path) -> None:
    seen = seen_of(TRUTH, error=0.01)
    path = write_shard(tmp_path, SOME, seen, clip_frames=4)
    kept = [0, 1, 2, 3, 8, 9, 10, 11]
    with np.load(path) as file:
        np.savez(path, **{**file, "cut": ~np.isin(np.arange(12), kept)})
    assert len(load_shards(tmp_path, Figure())) == 12
    found = load_shards(tmp_path, Figure(), cut=False)
    assert len(found) == 8
    assert torch.equal(found.seen.features, seen.features[kept])
    torch.testing.assert_close(found.truth.betas, TRUTH.betas[kept])


def test_frames_without_a_person_are_left_out_and_of_clips_kept(tmp_path: Path) -> None:
    seen = seen_of(TRUTH, error=0.01)
    seen.visibility[[2, 7]] = -1
    write_shard(tmp_path / "frames", SOME, seen)
    write_shard(tmp_path / "clips", SOME, seen, clip_frames=4)
    kept = [n for n in range(12) if n not in (2, 7)]
    frames, clips = (load_shards(tmp_path / name, Figure()) for name in ("frames", "clips"))
    torch.testing.assert_close(frames.truth.betas, TRUTH.betas[kept])
    assert torch.equal(frames.seen.landmarks_px, seen.landmarks_px[kept])
    assert clips.clip_frames == 4
    torch.testing.assert_close(clips.truth.betas, TRUTH.betas)
    assert clips.seen.there.tolist() == [n in kept for n in range(12)]
    assert (clips.seen.visibility[[2, 7]] == -1).all()


def test_landmarks_of_somebody_else_do_not_count(tmp_path: Path) -> None:
    seen = seen_of(TRUTH)
    side = seen.roi[:, 2]
    px = seen.landmarks_px.clone()
    px[3, :, 0] += 0.25 * side[3]  # a bad guess
    px[5, :, 0] += 0.35 * side[5]  # the neighbour
    px[6, :16, 0] += 5 * side[6]  # half of a body may be anywhere
    write_shard(tmp_path, SOME, replace(seen, landmarks_px=px), clip_frames=4)
    assert (~load_shards(tmp_path, Figure()).seen.there).nonzero().flatten().tolist() == [5]


def test_a_part_of_many_shards(tmp_path: Path) -> None:
    seen = seen_of(TRUTH)
    for number in range(3):
        write_shard(tmp_path, SOME, seen, number=number)
    assert len(load_shards(tmp_path, Figure())) == 36
    assert len(load_shards(tmp_path, Figure(), most=13)) == 24
    assert len(load_shards(tmp_path, Figure(), most=12)) == 12


def test_no_shards_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"expected shards in .*, found none.*training\.synthesize"):
        load_shards(tmp_path, Figure())


def test_the_small_shards_lose_frames_as_clips_do(tmp_path: Path) -> None:
    write_small_shards(tmp_path, 4, frames=5)
    seen: Seen = load_shards(tmp_path, Figure()).seen
    assert (~seen.there).nonzero().flatten().tolist() == [4, 14]
