"""Tiny corpora: the same from a seed, nobody in two splits, every training pose possible."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ezc3d")

from mocap.body.rotations import geodesic_angle, matrix_to_quat_xyzw
from training import make_corpus as program
from training.corpus.kinematics import forward
from training.corpus.limits import excess_deg
from training.corpus.penetration import TOLERANCE, depths
from training.corpus.scripted import KINDS, scripted
from training.datasets.c3d import Markers
from training.datasets.corpus import Corpus
from training.datasets.distinct import pose_positions, same
from training.datasets.fitted import Recording, write_fitted
from training.datasets.motion import BODY_JOINT_NAMES

PEOPLE = {"05_01": "march", "05_02": "dance_arms", "03_01": "squat", "02_01": "reach", "08_01": "touch"}


def write_packed(path: Path, clips: dict[str, str]) -> None:
    motions = [scripted(kind, (9, n)) for n, kind in enumerate(clips.values())]
    length = [m.num_frames for m in motions]
    quat = matrix_to_quat_xyzw(np.concatenate([m.R_parent_joint for m in motions]).astype(float))[..., [3, 0, 1, 2]]
    np.savez(
        path, quat_wxyz=quat.astype(np.float16), trans=np.concatenate([m.p_world_root for m in motions]),
        clip_names=np.array(list(clips)), clip_start=np.cumsum(length) - length, clip_len=length,
        clip_fps=np.full(len(clips), 30.0), joint_names=np.array(BODY_JOINT_NAMES),
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "mocap").mkdir()
    write_packed(folder / "mocap" / "cmu_smpl22.npz", PEOPLE)
    write_packed(folder / "mocap" / "deepmimic_smpl22.npz", {"kick": "kick"})
    for actor, kind in (("female1", "lunge"), ("male1", "wave")):
        motion = scripted(kind, (9, 9))
        markers = Markers(kind, actor, 30.0, ("A",), np.zeros((motion.num_frames, 1, 3)))
        valid, residual = np.ones(motion.num_frames, bool), np.zeros((motion.num_frames, 1))
        R, root = motion.R_parent_joint.astype(float), motion.p_world_root.astype(float)
        write_fitted(
            folder / "markers" / actor / f"{kind}.npz",
            Recording(markers, "accad_c3d", f"accad/{actor}", np.zeros(10), R, root, valid, residual),
        )
    return folder


def build(data: Path, output: Path, *more: str) -> int:
    options = ["--shared", str(data), "--markers", str(data / "markers"), "--output", str(output), *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["make_corpus", *options])
        return program.main()


@pytest.fixture(scope="module")
def corpus(data: Path) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "KINDS", {kind: KINDS[kind] for kind in ("typing", "pushup")})
        small = ("--scripted", "2", "--sequences", "20", "--poses", "2000", "--processes", "1")
        assert build(data, data / "corpus", *small) == 0
    return Corpus.open(data / "corpus")


def test_nobody_is_in_two_splits(corpus: Corpus) -> None:
    names = {n: set() for n in range(4)}
    for name, split in zip(corpus.clips["name"], corpus.clips["split"], strict=True):
        names[int(split)].add(str(name).split("#")[0].removesuffix("/mirrored"))
    assert {"05_01", "05_02", "08_01", "lunge"} <= names[0]
    assert (names[1], names[2], names[3]) == ({"02_01"}, {"03_01", "wave"}, {"kick"})
    assert not names[0] & (names[1] | names[2] | names[3])


def test_no_part_of_a_held_out_person_is_in_the_training_set(corpus: Corpus) -> None:
    """Squat, reach, wave and kick are only the others' motion: their legs are nobody's in training."""
    legs = [1, 2, 4, 5]
    train = corpus.rotations(corpus.frames("train")).numpy()[::3, legs].reshape(-1, 36)
    held_out = corpus.rotations(corpus.frames("test")).numpy()[::40, legs].reshape(-1, 36)
    assert np.abs(held_out[:, None] - train).max(-1).min() > 2e-3


def test_held_out_poses_are_the_recorded_ones(corpus: Corpus, data: Path) -> None:
    names = [str(name) for name in corpus.clips["name"]]
    motion, recorded = corpus.motion(names.index("wave")), scripted("wave", (9, 9))
    assert motion.num_frames == recorded.num_frames
    assert motion.fps == 30
    assert np.degrees(geodesic_angle(motion.R_parent_joint, recorded.R_parent_joint)).max() < 0.2


def test_training_poses_are_inside_the_limits_and_do_not_penetrate(corpus: Corpus) -> None:
    rows = corpus.frames("train")[::5]
    R = corpus.rotations(rows).numpy()
    assert excess_deg(R).max() < 0.3  # half precision
    kinds = corpus.clips["kind_names"][corpus.clips["kind"]]
    made = np.repeat(kinds != "recorded", corpus.clips["length"])[rows]
    assert made.sum() > 300
    assert depths(*forward(R[made], np.zeros((made.sum(), 3)))).max() < TOLERANCE + 2e-3


def test_distinct_poses_differ(corpus: Corpus) -> None:
    rows = corpus.clips["distinct"]
    joints = pose_positions(corpus.rotations(rows).numpy())
    alike = same(joints[:, None], joints[None])
    assert alike.sum() <= len(rows) + 4  # half precision decides a few
    assert np.isin(rows, corpus.rows("train")).all()
    assert corpus.description()["distinct"] == len(rows)


def test_the_description_adds_up(corpus: Corpus) -> None:
    told = corpus.description()
    assert told["frames"] == len(corpus.quats) == corpus.clips["length"].sum()
    kinds = told["kinds"]
    assert sum(kind["distinct"] for kind in kinds.values()) == told["distinct"]
    assert sum(kind["hours"] for kind in kinds.values()) == pytest.approx(told["hours"], abs=0.01)
    assert {"typing", "pushup", "recorded", "recombined", "recombined_pose"} == set(kinds)
    assert set(told["offsets_removed_deg"]) == {"cmu", "deepmimic"}
    assert told["raw"]["sources"]["deepmimic"]["clips"] == 1


def test_the_seed_gives_the_same_corpus_whatever_the_number_of_processes(data: Path, tmp_path: Path) -> None:
    small = ("--scripted", "0", "--sequences", "20", "--poses", "4000", "--seed", "4")
    assert build(data, tmp_path / "one", *small, "--processes", "1") == 0
    assert build(data, tmp_path / "two", *small, "--processes", "2") == 0
    assert build(data, tmp_path / "other", "--scripted", "0", "--sequences", "20", "--poses", "4000", "--seed", "5",
                 "--processes", "1") == 0  # fmt: skip
    one, two, other = (Corpus.open(tmp_path / name) for name in ("one", "two", "other"))
    np.testing.assert_array_equal(one.quats, two.quats)
    np.testing.assert_array_equal(one.roots, two.roots)
    np.testing.assert_array_equal(one.rows("train"), two.rows("train"))
    assert one.quats.shape != other.quats.shape or not np.array_equal(one.quats, other.quats)


def test_no_data_is_one_clear_error(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path, tmp_path / "out") == 1
    assert "_smpl22" in capsys.readouterr().err
    (tmp_path / "markers").mkdir()
    assert build(data, tmp_path / "out", "--markers", str(tmp_path / "markers")) == 1
    assert "training.fit_markers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_folder_holds_what_the_contract_says(corpus: Corpus) -> None:
    assert corpus.quats.dtype == np.float16
    assert corpus.quats.shape[1:] == (22, 4)
    assert corpus.roots.dtype == np.float32
    assert corpus.roots.shape == (len(corpus.quats), 3)
    assert isinstance(corpus.quats, np.memmap)
    assert json.loads((corpus.folder / "corpus.json").read_text())["config"]["seed"] == 0
