from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mocap.errors import MocapError
from training.datasets.corpus import Corpus
from training.datasets.windows import Windows

KINDS = ["recorded", "recombined", "recombined_pose"]
# split, kind, length, fps
CLIPS = [(0, 0, 10, 30), (0, 0, 3, 30), (1, 0, 50, 30), (0, 2, 40, 0), (0, 1, 12, 30), (0, 1, 7, 30), (0, 1, 6, 30)]


def corpus(clips: list[tuple[int, int, int, int]] = CLIPS) -> Corpus:
    split, kind, length, fps = (np.array(part) for part in zip(*clips, strict=True))
    table = {
        "start": np.cumsum(length) - length, "length": length, "fps": fps.astype(float), "split": split, "kind": kind,
        "kind_names": np.array(KINDS),
    }  # fmt: skip
    return Corpus(Path("small"), np.zeros((0, 22, 4), np.float16), np.zeros((0, 3), np.float32), table)


def drawn(windows: Windows, count: int = 900) -> NDArray[np.int64]:
    return windows(count, torch.Generator().manual_seed(0))


def clip_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(corpus().clips["start"], rows, side="right") - 1)


def test_windows_are_consecutive_and_stay_inside_their_clip() -> None:
    rows = drawn(Windows(corpus(), "train", 6))
    assert rows.shape == (900, 6)
    assert rows.dtype == np.int64
    assert (np.diff(rows, axis=1) == 1).all()
    clip = clip_of(rows)
    assert (clip == clip[:, :1]).all()
    assert set(clip[:, 0]) == {0, 4, 5, 6}  # not those too short, unrelated poses, or another split


def test_every_place_of_a_clip_may_come() -> None:
    rows = drawn(Windows(corpus(), "train", 6))
    start, length = (corpus().clips[name] for name in ("start", "length"))
    for clip in (0, 4, 5, 6):
        first = rows[clip_of(rows[:, 0]) == clip, 0] - start[clip]
        assert set(first) == set(range(length[clip] - 5))


def test_recombined_clips_come_more_seldom_however_many_there_are() -> None:
    clip = clip_of(drawn(Windows(corpus(), "train", 6))[:, 0])
    assert np.mean(clip == 0) > 0.6
    shares = [np.mean(clip == number) for number in (4, 5, 6)]
    assert max(shares) - min(shares) < 0.05
    alone = clip_of(drawn(Windows(corpus(), "train", 11))[:, 0])
    assert set(alone) == {4}


def test_a_clip_as_long_as_the_window_and_other_splits() -> None:
    assert drawn(Windows(corpus(), "val", 50), 3).tolist() == [list(range(13, 63))] * 3


def test_the_same_generator_the_same_windows() -> None:
    windows = Windows(corpus(), "train", 6)
    first, again, other = (windows(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_clip_long_enough_is_one_clear_error() -> None:
    with pytest.raises(MocapError, match="small: expected clips of 51 frames or more in val, found none"):
        Windows(corpus(), "val", 51)
