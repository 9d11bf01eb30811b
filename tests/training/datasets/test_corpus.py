"""The corpus reader: rotations, splits, and folders that hold no corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.body.rotations import geodesic_angle
from mocap.errors import MocapError
from tests.training.datasets.small_motion import random_rotations
from training.corpus.jobs import Piece, to_quats
from training.corpus.store import write_corpus
from training.datasets.corpus import Corpus

R = random_rotations(30, degrees=150)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = np.arange(90, dtype=np.float32).reshape(30, 3)
    pieces = [
        Piece("walk", "cmu", "recorded", 0, 30.0, to_quats(R[:10]), root[:10]),
        Piece("poses", "recombined", "recombined_pose", 0, 0.0, to_quats(R[10:16]), root[10:16]),
        Piece("run", "accad", "recorded", 2, 60.0, to_quats(R[16:]), root[16:]),
    ]
    rows = {"distinct": np.array([0, 12]), "train_rows": np.array([0, 3, 12])}
    write_corpus(tmp_path / "corpus", pieces, rows, {"seed": 3})
    return tmp_path / "corpus"


def test_poses_come_back(folder: Path) -> None:
    corpus = Corpus.open(folder)
    rows = np.array([20, 3, 3, 11])
    poses = corpus.body_poses(rows)
    assert poses.shape == (4, 21, 3, 3)
    assert poses.dtype == torch.float32
    assert np.degrees(geodesic_angle(poses.numpy(), R[rows, 1:])).max() < 0.15  # half precision
    assert torch.allclose(poses @ poses.mT, torch.eye(3).expand_as(poses), atol=1e-5)
    assert torch.linalg.det(poses).min() > 0.99


def test_rows_by_split(folder: Path) -> None:
    corpus = Corpus.open(folder)
    assert corpus.rows("train").tolist() == [0, 3, 12]
    assert corpus.frames("train").tolist() == list(range(16))
    assert corpus.rows("test").tolist() == list(range(16, 30))
    assert corpus.rows("val").tolist() == []
    with pytest.raises(MocapError, match="train, val, test, ood, found 'valid'"):
        corpus.rows("valid")


def test_rows_by_kind(folder: Path) -> None:
    corpus = Corpus.open(folder)
    rows = np.array([20, 0, 9, 10, 15, 16])
    assert corpus.of_kind(rows, "recorded").tolist() == [True, True, True, False, False, True]
    assert corpus.of_kind(rows, "recombined_pose").tolist() == [False, False, False, True, True, False]


def test_a_clip_is_a_motion_again(folder: Path) -> None:
    motion = Corpus.open(folder).motion(2)
    assert (motion.name, motion.source, motion.fps, motion.num_frames) == ("run", "accad", 60.0, 14)
    assert np.degrees(geodesic_angle(motion.R_parent_joint, R[16:])).max() < 0.15
    np.testing.assert_array_equal(motion.p_world_root[0], [48, 49, 50])


def test_the_description_is_what_was_written(folder: Path) -> None:
    assert Corpus.open(folder).description() == {"seed": 3}


def test_writing_again_replaces_the_whole_folder(folder: Path) -> None:
    (folder / "old").touch()
    piece = Piece("stand", "cmu", "recorded", 1, 30.0, to_quats(R[:2]), np.zeros((2, 3), np.float32))
    write_corpus(folder, [piece], {"distinct": np.zeros(0, int), "train_rows": np.zeros(0, int)}, {})
    corpus = Corpus.open(folder)
    assert corpus.rows("val").tolist() == [0, 1]
    assert not (folder / "old").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["corpus"]


@pytest.mark.parametrize("gone", ["quats.npy", "clips.npz", "corpus.json"])
def test_a_folder_without_a_corpus_says_how_to_build_one(folder: Path, gone: str) -> None:
    (folder / gone).unlink()
    with pytest.raises(MocapError, match=f"found no {gone}.*python -m training.make_corpus --output"):
        Corpus.open(folder)


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(MocapError, match="expected a motion corpus"):
            Corpus.open(path)


@pytest.mark.parametrize("name", ["quats.npy", "clips.npz"])
def test_a_broken_file_is_one_clear_error(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"not an array")
    with pytest.raises(MocapError, match="cannot read the motion corpus"):
        Corpus.open(folder)
