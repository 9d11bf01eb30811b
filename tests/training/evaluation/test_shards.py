from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from tests.training.evaluation.made import made_clip, rows, write_shard
from training.evaluation.mediapipe_filter import smoothed
from training.evaluation.shards import demo_clip, shard_clips
from training.evaluation.watching import RAW, SMOOTHED


def test_a_shards_clips_are_those_that_were_written(tmp_path: Path) -> None:
    write_shard(tmp_path, clips=3, frames=16, noise_m=0.0)
    clips = list(shard_clips(tmp_path))
    assert [len(clip.track) for clip in clips] == [16, 16, 16]
    expected = made_clip(frames=16, seed=1)
    np.testing.assert_allclose(clips[1].truth.points, expected.truth.points, atol=1e-5)
    np.testing.assert_allclose(clips[1].track.t, expected.track.t)
    assert clips[1].truth.dt == pytest.approx(1 / 30)
    assert len(list(shard_clips(tmp_path, limit=2))) == 2


def test_unrelated_frames_are_clips_of_one_frame(tmp_path: Path) -> None:
    write_shard(tmp_path, clips=5, frames=1)
    clips = list(shard_clips(tmp_path))
    assert len(clips) == 5
    assert all(clip.truth.dt is None and len(clip.track) == 1 for clip in clips)
    np.testing.assert_array_equal(clips[0].given[RAW].world, clips[0].given[SMOOTHED].world)


def test_errors_name_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"training\.synthesize --split test"):
        list(shard_clips(tmp_path))
    path = write_shard(tmp_path, clips=1, frames=4)
    path.rename(tmp_path / "mine.npz")
    with pytest.raises(MocapError, match=r"test_0_1000_64_00000\.npz"):
        list(shard_clips(tmp_path))
    (tmp_path / "mine.npz").unlink()
    np.savez(tmp_path / "test_0_4_4_00000.npz", R=np.zeros((4, 24, 3, 3)))
    with pytest.raises(MocapError, match="found no betas"):
        list(shard_clips(tmp_path))
    with pytest.raises(MocapError, match="make_demo"):
        demo_clip(tmp_path / "none.mp4")


def test_mediapipes_smoothing_follows_slow_motion_and_calms_noise() -> None:
    arrays = rows(frames=90, noise_m=0.01)
    calm = smoothed(arrays["landmarks_world"], np.arange(90) / 30)
    true = rows(frames=90)["landmarks_world"]
    second = [
        np.linalg.norm(np.diff(points, 2, axis=0), axis=-1).mean() for points in (arrays["landmarks_world"], calm)
    ]
    assert second[1] < 0.7 * second[0]
    assert (
        np.linalg.norm(calm - true, axis=-1).mean() < np.linalg.norm(arrays["landmarks_world"] - true, axis=-1).mean()
    )


def test_mediapipes_smoothing_by_hand() -> None:
    """A step of 1 m in 0.1 s: speed 10 m/s times the gain of the filter of speeds, then the cut-off that it gives."""
    world = np.zeros((3, 33, 3))
    world[1:] = 1.0
    world[2] = np.nan
    found = smoothed(world, np.array([0.0, 0.1, 0.2]))

    def gain(cutoff: float) -> float:
        return 1 / (1 + 1 / (2 * np.pi * cutoff) / 0.1)

    assert found[1] == pytest.approx(gain(0.1 + 40.0 * 10 * gain(1.0)))
    assert np.isnan(found[2]).all()


def test_smoothing_starts_anew_after_a_gap() -> None:
    world = np.zeros((5, 33, 3))
    world[2] = np.nan
    world[3:] = 7.0
    found = smoothed(world, np.arange(5) / 30)
    assert (found[3:] == 7).all()
    assert np.isnan(found[2]).all()
