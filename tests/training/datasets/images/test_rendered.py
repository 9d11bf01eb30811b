from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body.torch_figure import Figure
from mocap.errors import MocapError
from tests.training.capture.small_shards import write_small_shards
from tests.training.published.pictures import write_shard
from training.datasets.images.rendered import Rendered
from training.datasets.images.sample import read_picture
from training.published.points import OpenPoints
from training.synthesis.crops import ROOM

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    write_shard(folder / "people", people=8, size=SIZE)
    write_shard(folder / "clips", people=3, size=SIZE, clip_frames=5)
    return folder


def rows(folder: Path) -> dict[str, Tensor]:
    (file,) = folder.glob("*.npz")
    with np.load(file) as shard:
        return {name: torch.from_numpy(shard[name]) for name in shard.files}


def test_points_in_the_file_are_joints_of_the_shard_seen_by_its_camera(folder: Path) -> None:
    people, shard = Rendered(folder / "people", OpenPoints("smpl24")), rows(folder / "people")
    joints = shard["p_camera_joint"]
    px = joints[..., :2] / joints[..., 2:] * shard["focal_px"][:, None, None] + 0.5 * shard["size_px"][:, None]
    x_y, side = shard["square"][:, None, :2], shard["square"][:, None, 2:]
    expected = (px - x_y) / side + 0.5  # of the square
    for row in range(len(people)):
        points = people[row].keypoints_2d
        assert points is not None
        known = (joints[row, :, 2] > 0.05).numpy()
        np.testing.assert_allclose(points[known, :2] / SIZE, expected[row][known], atol=2e-3)
        inside = ((points[:, :2] >= 0) & (points[:, :2] <= SIZE)).all(1)
        np.testing.assert_array_equal(points[:, 2], inside)


def test_space_is_seen_by_a_camera_that_looks_at_the_square(folder: Path) -> None:
    people, shard = Rendered(folder / "people", OpenPoints("smpl24")), rows(folder / "people")
    ray = shard["square"][:, :2] - 0.5 * shard["size_px"]
    ray = torch.cat([ray / shard["focal_px"][:, None], torch.ones(len(ray), 1)], 1)
    ray = ray / ray.norm(dim=1, keepdim=True)
    R = people.R_camera_view
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand(len(R), 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(R[:, :, 2], ray, atol=1e-5, rtol=0)
    # The joints of its rotations and betas, seen from there, are the shard's.
    seen = (shard["p_camera_joint"] - shard["p_camera_joint"][:, :1]) @ R
    joints = Figure()(people.R, people.betas)[0]
    torch.testing.assert_close(joints, seen, atol=1e-3, rtol=0)
    for row in range(len(people)):
        sample = people[row]
        assert sample.keypoints_3d is not None
        np.testing.assert_allclose(sample.keypoints_3d[:, :3], joints[row], atol=1e-6)
        np.testing.assert_array_equal(sample.R_parent_joint, people.R[row])
        assert (sample.body, sample.true_3d, sample.dataset) == ("open", True, "rendered")


def test_boxes_are_the_squares_without_their_room(folder: Path) -> None:
    sample = Rendered(folder / "people", OpenPoints("44"))[0]
    np.testing.assert_allclose(sample.center_px, SIZE / 2)
    assert sample.side_px * ROOM == pytest.approx(SIZE)
    assert read_picture(sample).shape == (SIZE, SIZE, 3)


def test_points_that_the_body_does_not_have_are_not_known(folder: Path) -> None:
    points = OpenPoints("44")
    sample = Rendered(folder / "people", points)[0]
    assert sample.keypoints_2d is not None
    assert sample.keypoints_3d is not None
    np.testing.assert_array_equal(sample.keypoints_3d[:, 3], points.known)
    assert not sample.keypoints_2d[~points.known.numpy(), 2].any()


def test_clips_are_frames_in_a_row_with_everybody_seen(folder: Path, tmp_path: Path) -> None:
    people = Rendered(folder / "clips", OpenPoints("44"))
    assert people.clips.tolist() == np.arange(15).reshape(3, 5).tolist()
    for clip in people.clips:
        assert len(people.betas[clip].unique(dim=0)) == 1
    assert Rendered(folder / "people", OpenPoints("44")).clips.tolist() == [[row] for row in range(8)]
    (file,) = (folder / "clips").glob("*.npz")
    with np.load(file) as shard:
        lost = {**shard}
    lost["score"][7] = 0  # a frame of the second
    lost["square"][3] = lost["jpeg"][3] = 0  # one of the first
    np.savez(tmp_path / file.name, **lost)
    seen = Rendered(tmp_path, OpenPoints("44"))
    assert len(seen) == 14
    assert seen.clips.tolist() == [list(range(9, 14))]
    for row in (3, 13):  # those after the one that is not there
        np.testing.assert_array_equal(seen[row].keypoints_2d, people[row + 1].keypoints_2d)
        assert seen[row].image == people[row + 1].image
    lost["square"][:] = 0
    np.savez(tmp_path / file.name, **lost)
    with pytest.raises(MocapError, match=r"expected people in the pictures, found none"):
        Rendered(tmp_path, OpenPoints("44"))


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"expected shards in .*, found none.*training\.synthesize --picture_px"):
        Rendered(tmp_path, OpenPoints("44"))
    write_small_shards(tmp_path, 3)
    with pytest.raises(MocapError, match=r"expected a shard with pictures, found one without.*--picture_px"):
        Rendered(tmp_path, OpenPoints("44"))
