from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.datasets.corpus import Corpus
from training.datasets.mixture import _SHARES, Mixture, Poses, sort_of

# kind, length: one long recording, two scripted motions, many recombined poses
CLIPS = [("recorded", 10), ("squat", 20), ("recombined_pose", 900), ("recombined", 30), ("wave", 40), ("recorded", 50)]


def corpus(split: list[int]) -> Corpus:
    kinds = sorted({name for name, _ in CLIPS})
    length = np.array([count for _, count in CLIPS])
    table = {
        "start": np.cumsum(length) - length, "length": length, "split": np.array(split),
        "kind": np.array([kinds.index(name) for name, _ in CLIPS]), "kind_names": np.array(kinds),
        "train_rows": np.arange(0, length[np.array(split) == 0].sum(), 2), "fps": np.full(6, 30.0),
    }  # fmt: skip
    return Corpus(Path("small"), np.zeros((0, 22, 4), np.float16), np.zeros((1050, 3), np.float32), table)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sorts_by_the_clips_kind() -> None:
    sorts = sort_of(corpus([0] * 6), np.array([5, 1, 4, 2, 3]))
    assert sorts.tolist() == ["recorded", "scripted", "scripted", "recombined_pose", "recombined"]


def test_each_sort_has_its_share_however_many_there_are() -> None:
    sorts = np.array(["recombined_pose"] * 900 + ["recorded"] * 7 + ["scripted"] * 3 + ["recombined"])
    items = Mixture(sorts)(6000, generator()).numpy()
    for name, share in _SHARES.items():
        assert np.mean(sorts[items] == name) == pytest.approx(share, abs=0.03)
    assert set(items[sorts[items] == "recorded"]) == set(range(900, 907))


def test_what_a_sort_lacks_the_others_get() -> None:
    sorts = np.array(["recorded", "scripted", "scripted"])
    items = Mixture(sorts)(4000, generator()).numpy()
    expected = _SHARES["recorded"] / (_SHARES["recorded"] + _SHARES["scripted"])
    assert np.mean(items == 0) == pytest.approx(expected, abs=0.03)


def test_items_come_as_often_as_their_weights_say() -> None:
    sorts = np.array(["scripted"] * 20 + ["recorded"] * 101)
    weights = np.repeat([1.0, 100.0, 1.0], [20, 1, 100])
    items = Mixture(sorts, weights)(9000, generator()).numpy()
    recorded = items[sorts[items] == "recorded"]
    assert np.mean(recorded == 20) == pytest.approx(0.5, abs=0.03)
    assert set(recorded) == set(range(20, 121))
    assert set(items[sorts[items] == "scripted"]) == set(range(20))


def test_recordings_come_as_often_as_one_another_and_runs_more_often_than_stands() -> None:
    small = corpus([0] * 6)
    rows = Poses(small, "train")(9000, generator()).numpy()
    assert np.mean(rows < 10) == pytest.approx(_SHARES["recorded"] / 2, abs=0.02)  # of 10 frames
    assert np.mean(rows >= 1000) == pytest.approx(_SHARES["recorded"] / 2, abs=0.02)  # of 50
    roots = np.zeros((1050, 3), np.float32)
    roots[5:10, 0] = np.arange(5) * 2 / 30  # two metres a second
    rows = Poses(replace(small, roots=roots), "train")(20000, generator()).numpy()
    assert np.mean(rows == 8) == pytest.approx(2 * np.mean(rows == 2), rel=0.15)


def test_poses_are_the_splits_rows() -> None:
    small = corpus([0, 0, 0, 0, 0, 1])
    rows = Poses(small, "train")(5000, generator()).numpy()
    assert set(rows) <= set(range(0, 1000, 2))
    assert set(Poses(small, "val")(500, generator()).numpy()) == set(range(1000, 1050))
    assert torch.equal(Poses(small, "val")(9, generator(3)), Poses(small, "val")(9, generator(3)))
