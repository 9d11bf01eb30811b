"""Shards in webdataset's layout: streamed, several people a picture, masks, BEDLAM's records; nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mocap.errors import MocapError
from tests.hostile_pickles import payloads
from tests.training.datasets.images.small_files import jpeg, matrices, random_pose
from training.datasets.images import tar_index
from training.datasets.images.sample import Sample, read_picture
from training.datasets.images.tars import TarSamples, open_tars, read_tar

RNG = np.random.default_rng(0)


def person(number: int = 0, **changes: Any) -> dict[str, Any]:
    losses = np.array({"reprojection_loss": np.float32(1000.0 * (number + 1)), "pose_prior": 3.0}, object)
    record = {
        "keypoints_2d": RNG.uniform(0.5, 1, (44, 3)).astype(np.float32), "keypoints_3d": RNG.normal(size=(44, 4)),
        "center": np.array([5.0, 4.0]), "scale": np.array([0.05, 0.06]), "body_pose": random_pose(1, seed=number)[0],
        "betas": RNG.normal(size=10), "has_body_pose": np.array(1.0), "has_betas": True,
        "extra_info": {"detection_npz_idx": number, "fitting_loss": losses, "path": "a/b"},
    }  # fmt: skip
    return {name: value for name, value in {**record, **changes}.items() if value is not None}


def bedlam_person(**changes: Any) -> dict[str, Any]:
    cam_ext = np.eye(4)
    cam_ext[:3, 3] = [0.0, 0.0, 5.0]
    return {
        "gtkps": RNG.uniform(0, 700, (45, 3)), "pose_cam": random_pose(1)[0], "shape": RNG.normal(size=10),
        "trans_cam": np.array([0.1, 0.2, 0.3]), "cam_ext": cam_ext, "center": [6.0, 4.0], "scale": 0.05,
        "cam_int": np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]), "gender": "female", **changes,
    }  # fmt: skip


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def write(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def shard(path: Path, people: list[Any], key: str = "set/a", **more: bytes) -> list[Sample]:
    files = {f"{key}.jpg": jpeg(), f"{key}.data.pyd": pickle.dumps(people)}
    files |= {f"{key}.{name}": content for name, content in more.items()}
    return list(read_tar(write(path, files), "coco"))


def test_every_person_of_every_picture_in_order(tmp_path: Path) -> None:
    people = [person(0), person(1)]
    files = {
        "set/a.jpg": jpeg(color=(250, 0, 0)), "set/a.data.pyd": pickle.dumps(people),
        "set/b.data.pyd": pickle.dumps([person(2)]), "set/b.png": jpeg(color=(0, 0, 250)),
        "set/c.jpg": jpeg(), "set/c.data.pyd": pickle.dumps([]),
    }  # fmt: skip
    for mode in ("w", "w:gz"):
        samples = list(read_tar(write(tmp_path / "0.tar", files, mode), "insta"))
        assert [s.name for s in samples] == ["set/a", "set/a", "set/b"]
        assert [int(read_picture(s)[0, 0].argmax()) for s in samples] == [0, 0, 2]
        for one, label in zip(samples, people, strict=False):
            np.testing.assert_allclose(one.keypoints_2d, label["keypoints_2d"], rtol=1e-6)
            np.testing.assert_allclose(one.keypoints_3d, label["keypoints_3d"], rtol=1e-6)
            np.testing.assert_allclose(one.R_parent_joint, matrices(label["body_pose"]), atol=1e-5)
            np.testing.assert_allclose(one.betas, label["betas"], rtol=1e-6)
            assert (one.joints_2d, one.joints_3d, one.gender) == ("44", "44", "neutral")
            np.testing.assert_allclose(one.side_px, 12)  # the longer side of 200 px · scale
        assert [s.reprojection_error for s in samples] == [1000, 2000, 3000]


@pytest.mark.parametrize(
    ("dataset", "true_3d"), [("h36m", True), ("bedlam", True), ("mpi_inf_3dhp", False), ("aic", False)]
)
def test_only_human36m_and_bedlam_are_true_3d(tmp_path: Path, dataset: str, true_3d: bool) -> None:
    path = write(tmp_path / "0.tar", {"a.jpg": jpeg(), "a.data.pyd": pickle.dumps([person()])})
    assert next(read_tar(path, dataset)).true_3d == true_3d


def test_labels_that_a_record_says_it_has_not(tmp_path: Path) -> None:
    (one,) = shard(tmp_path / "0.tar", [person(has_body_pose=np.array(0.0), has_betas=False, extra_info=None)])
    assert one.R_parent_joint is None
    assert one.betas is None
    assert one.reprojection_error is None


def test_masks_are_the_persons_own(tmp_path: Path) -> None:
    masks = np.zeros((2, 8, 12), bool)
    masks[1, 2:5] = True
    samples = shard(tmp_path / "0.tar", [person(0), person(1)], **{"detection.npz": npz(masks=masks)})
    for one, mask in zip(samples, masks, strict=True):
        np.testing.assert_array_equal(one.mask, mask)


def test_bedlams_records(tmp_path: Path) -> None:
    upright = bedlam_person()
    lying = bedlam_person(cam_int=np.array([[900.0, 0, 360], [0, 900, 640], [0, 0, 1]]))
    first, second = shard(tmp_path / "0.tar", [upright, lying])
    assert (first.body, first.joints_2d, first.joints_3d, first.gender) == ("smpl", "smpl24", None, "female")
    np.testing.assert_allclose(first.t_camera, [0.1, 0.2, 5.3], rtol=1e-6)
    np.testing.assert_allclose(first.R_parent_joint, matrices(upright["pose_cam"]), atol=1e-5)
    np.testing.assert_allclose(first.side_px, 10)
    assert (read_picture(first).shape, read_picture(second).shape) == ((8, 12, 3), (12, 8, 3))


BAD: dict[str, tuple[Any, str]] = {
    "no field": ([person(center=None)], "a.data.pyd, person 0: expected a field center"),
    "second": ([person(), person(keypoints_2d=None)], "a.data.pyd, person 1: expected a field keypoints_2d"),
    "points": ([person(keypoints_2d=np.zeros((49, 3)))], r"expected keypoints_2d of shape \(44, 3\), found \(49, 3\)"),
    "pose": ([person(body_pose=np.zeros(69))], r"expected body_pose of shape \(72\), found \(69\)"),
    "scale": ([person(scale=0.0)], "expected one or two numbers above 0 in scale"),
    "nan": ([person(center=np.array([np.nan, 1]))], "expected finite numbers in center"),
    "no list": ({"a": 1}, "expected a list of dicts"),
    "no dicts": ([1, 2], "expected a list of dicts"),
    "gtkps": ([bedlam_person(gtkps=np.zeros((14, 2)))], "expected gtkps of at least 24"),
    "cam_ext": ([bedlam_person(cam_ext=np.eye(3))], r"expected cam_ext of shape \(4, 4\), found \(3, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_records_are_one_clear_error(tmp_path: Path, kind: str) -> None:
    people, message = BAD[kind]
    with pytest.raises(MocapError, match=rf"0\.tar.*{message}"):
        shard(tmp_path / "0.tar", people)


def test_bad_masks(tmp_path: Path) -> None:
    for content, message in [
        (b"no npz", "expected masks in set/a.detection.npz, could not read"),
        (npz(boxes=np.zeros(3)), "expected masks in set/a.detection.npz, could not read"),
        (npz(masks=np.zeros((8, 12))), r"expected masks \(n, H, W\)"),
        (npz(masks=np.zeros((0, 8, 12))), "expected detection_npz_idx below 0, found 0"),
    ]:
        with pytest.raises(MocapError, match=message):
            shard(tmp_path / "0.tar", [person()], **{"detection.npz": content})


def test_bad_shards(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="found no file; docs/published_data"):
        list(read_tar(tmp_path / "none.tar", "coco"))
    for files in ({"a.jpg": jpeg()}, {"a.data.pyd": pickle.dumps([])}, {"a.jpg": b"", "b.data.pyd": pickle.dumps([])}):
        with pytest.raises(MocapError, match=r"expected .\.jpg and .\.data\.pyd, found"):
            list(read_tar(write(tmp_path / "0.tar", files), "coco"))
    whole = write(tmp_path / "0.tar", {"a.jpg": bytes(5000), "a.data.pyd": pickle.dumps([person()])}).read_bytes()
    for content in (b"no tar at all", whole[:3000]):
        (tmp_path / "0.tar").write_bytes(content)
        with pytest.raises(MocapError, match="expected a whole tar shard"):
            list(read_tar(tmp_path / "0.tar", "coco"))
    (tmp_path / "0.tar").write_bytes(whole)
    with pytest.raises(MocapError, match="expected a data set"):
        list(read_tar(tmp_path / "0.tar", "webdataset"))


def test_a_broken_picture_does_not_stop_the_shard(tmp_path: Path) -> None:
    files = {"a.jpg": b"broken", "a.data.pyd": pickle.dumps([person()])}
    files |= {"b.jpg": jpeg(), "b.data.pyd": pickle.dumps([person()])}
    first, second = read_tar(write(tmp_path / "0.tar", files), "coco")
    with pytest.raises(MocapError, match="expected a picture in a"):
        read_picture(first)
    assert read_picture(second).shape == (8, 12, 3)


def test_a_shard_cannot_run_code(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for kind, content in payloads(mark).items():
        path = write(tmp_path / "0.tar", {"a.jpg": jpeg(), "a.data.pyd": content})
        with pytest.raises(MocapError, match="expected"):
            list(read_tar(path, "coco"))
        assert not mark.exists(), kind


@pytest.fixture
def indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where shards' indexes are kept."""
    monkeypatch.setenv(tar_index.FOLDER, str(tmp_path / "indexes"))
    return tmp_path / "indexes"


def many(path: Path, counts: Sequence[int] = (2, 0, 1, 3, 0), first: int = 0) -> Path:
    """A shard of pictures with so many people each, in two folders, some with masks."""
    files = {}
    for number, count in enumerate(counts):
        key = f"{'ab'[number % 2]}/{first + number:03d}"
        people = [person(index) for index in range(count)]
        files[f"{key}.data.pyd"] = pickle.dumps(people)
        if number % 2:
            files[f"{key}.detection.npz"] = npz(masks=RNG.random((max(count, 1), 8, 12)) > 0.5)
        files[f"{key}.jpg"] = jpeg(color=(40 * number, 10, 200))
    return write(path, files)


def same(one: Sample, other: Sample) -> None:
    for field in fields(Sample):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)


@pytest.mark.parametrize("counts", [(2, 0, 1, 3, 0), (0, 0, 4), (1,), (0,), ()])
def test_any_sample_of_a_shard_is_that_of_reading_it_from_the_front(
    tmp_path: Path, indexes: Path, counts: tuple[int, ...]
) -> None:
    path = many(tmp_path / "0.tar", counts)
    expected = list(read_tar(path, "coco"))
    for samples in (TarSamples(path, "coco", masks=True), TarSamples(path, "coco", masks=True)):  # built, and kept
        assert len(samples) == len(expected) == sum(counts)
        for at in reversed(range(len(expected))):
            same(samples[at], expected[at])
        for at in (-1, len(expected)):
            with pytest.raises(IndexError):
                samples[at]
    assert len(list(indexes.iterdir())) == 1
    assert all(TarSamples(path, "coco")[at].mask is None for at in range(len(expected)))


def test_threads_read_the_same_samples(tmp_path: Path, indexes: Path) -> None:
    samples = open_tars([many(tmp_path / f"{n}.tar", first=10 * n) for n in range(3)], "coco")
    places = [(part, at) for part in samples for at in range(len(part))] * 5
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda place: place[0][place[1]], places)
        for (part, at), one in zip(places, found, strict=True):
            same(one, part[at])


def test_a_shard_is_looked_through_once_and_again_when_it_has_changed(
    tmp_path: Path, indexes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many(tmp_path / "0.tar")
    looked = []
    real = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *given, **more: looked.append(given[0]) or real(*given, **more))
    for _ in range(3):
        assert [len(part) for part in open_tars([path], "coco")] == [6]
    assert len(looked) == 1
    os.utime(path, ns=(0, 0))
    assert [len(part) for part in open_tars([path], "coco")] == [6]
    many(path, (5,))
    assert [len(part) for part in open_tars([path], "coco")] == [5]
    for file in indexes.iterdir():
        file.write_bytes(b"broken")
    assert [len(part) for part in open_tars([path], "coco")] == [5]


def test_progress_of_looking_through_is_shown_once(
    tmp_path: Path, indexes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = [many(tmp_path / f"{n}.tar", (1,)) for n in range(3)]
    open_tars(paths, "insta")
    assert "insta: looking through the shards, once: 100%" in capfd.readouterr().err
    open_tars(paths, "insta")
    assert not capfd.readouterr().err


def test_pictures_do_not_stay_open(tmp_path: Path, indexes: Path) -> None:
    path = many(tmp_path / "0.tar")
    samples = TarSamples(path, "coco")
    one = samples[0]
    path.unlink()  # on Windows not while it is open
    assert read_picture(one).shape == (8, 12, 3)
    with pytest.raises(FileNotFoundError):
        samples[1]


@pytest.mark.parametrize(
    ("files", "mode", "message"),
    [
        ({"a.jpg": b"1"}, "w", r"expected a\.jpg and a\.data\.pyd, found a with jpg only"),
        ({"a.jpg": b"1", "a.data.pyd": pickle.dumps({})}, "w", r"expected a list of dicts in a\.data\.pyd, found dict"),
        ({"a.jpg": b"1", "a.data.pyd": pickle.dumps([1])}, "w", r"expected a list of dicts in a\.data\.pyd"),
        ({"a.jpg": b"1", "a.data.pyd": pickle.dumps([])}, "w:gz", "that is not compressed.*gunzip"),
    ],
)
def test_bad_shards_are_one_clear_error_before_training(
    tmp_path: Path, indexes: Path, files: dict[str, bytes], mode: str, message: str
) -> None:
    path = write(tmp_path / "bad.tar", files, mode)
    with pytest.raises(MocapError, match=rf"bad\.tar.*{message}"):
        open_tars([path], "coco")
    assert not indexes.exists() or not list(indexes.iterdir())


def test_nothing_runs_while_a_shard_is_looked_through(tmp_path: Path, indexes: Path) -> None:
    for number, payload in enumerate(payloads(tmp_path / "ran").values()):
        path = write(tmp_path / f"{number}.tar", {"a.jpg": jpeg(), "a.data.pyd": payload})
        with pytest.raises(MocapError):
            open_tars([path], "coco")
    assert not (tmp_path / "ran").exists()


def test_a_missing_shard_and_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MocapError, match=r"no\.tar: expected a tar shard, found no file"):
        open_tars([tmp_path / "no.tar"], "coco")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(tar_index.FOLDER, str(tmp_path / "file" / "below"))
    with pytest.raises(MocapError, match=f"expected to write the index.*{tar_index.FOLDER}"):
        open_tars([many(tmp_path / "0.tar")], "coco")
