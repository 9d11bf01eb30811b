"""What is drawn lies where the camera sees it, and the written video keeps times and pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, load_skeleton
from mocap.config import DrawStyle
from mocap.errors import MocapError
from mocap.types import BodyPose, Camera, Frame, MocapFrame, Person, Roi
from mocap.viewer.overlay import LEFT, RIGHT, OverlayWriter, draw

WIDTH, HEIGHT = 640, 360
STYLES: tuple[DrawStyle, ...] = ("mesh", "skeleton")


def t_pose_seen() -> MocapFrame:
    """A person in the T-pose, 3 m before a level camera at the pelvis' height."""
    R = np.tile(np.eye(3, dtype=np.float32), (NUM_JOINTS, 1, 1))
    betas, root = np.zeros(NUM_BETAS, np.float32), np.array([0, 0, -3], np.float32)
    joints = load_skeleton().forward(R, root, betas)
    ones = np.ones(NUM_JOINTS, np.float32)
    pose = BodyPose(0, 0.0, R, root, betas, joints, ones, np.ones(2, np.float32))
    return MocapFrame(0, 0.0, Camera(WIDTH, HEIGHT, 500.0), (), (pose,), {}, 0.0)


def blank() -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def columns_of(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.nonzero((picture == np.array(color)).all(-1))[1]


def test_the_left_side_of_one_who_faces_the_camera_is_at_the_right_of_the_picture() -> None:
    picture = draw(blank(), t_pose_seen(), "skeleton")
    assert np.median(columns_of(picture, LEFT)) > WIDTH / 2
    assert np.median(columns_of(picture, RIGHT)) < WIDTH / 2


@pytest.mark.parametrize("style", STYLES)
def test_drawing_leaves_the_frame_as_it_was(style: DrawStyle) -> None:
    picture = blank()
    assert draw(picture, t_pose_seen(), style).any()
    assert not picture.any()


def test_a_mesh_covers_more_than_a_skeleton_and_has_its_persons_colour() -> None:
    mesh, skeleton = (draw(blank(), t_pose_seen(), style).any(-1) for style in STYLES)
    assert mesh.sum() > 2 * skeleton.sum()
    result = t_pose_seen()
    hues = []
    for track_id in (0, 1):
        picture = draw(blank(), replace(result, poses=(replace(result.poses[0], track_id=track_id),)))
        red, _, blue = picture[picture.any(-1)].mean(0)
        hues.append(red > blue)
    assert hues == [False, True]  # blue, orange


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_no_number_stops_the_drawing(bad: float, style: DrawStyle) -> None:
    result = t_pose_seen()
    root, joints = np.full(3, bad, np.float32), np.full((NUM_JOINTS, 3), bad, np.float32)
    pose = replace(result.poses[0], p_world_root=root, p_world_joint=joints)
    person = Person(
        0, Roi((bad, 1.0), 9.0, 0.0), 1.0, np.full((33, 3), bad, np.float32), np.zeros((33, 3), np.float32), np.ones(33)
    )
    assert draw(blank(), replace(result, poses=(pose,), persons=(person,)), style).shape == (HEIGHT, WIDTH, 3)


def test_the_video_keeps_uneven_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.21]
    writer = OverlayWriter(tmp_path / "new_folder" / "overlay.mp4")
    for index, t in enumerate(times):
        writer(Frame(index, t, blank()), t_pose_seen())
    writer.close()
    with av.open(str(writer.path)) as container:
        found = [float(frame.time) for frame in container.decode(video=0)]
    np.testing.assert_allclose(np.array(found) - found[0], times, atol=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (241, 321)])
def test_odd_sizes_are_written(size: tuple[int, int], tmp_path: Path) -> None:
    writer = OverlayWriter(tmp_path / "odd.mp4")
    for index in range(3):
        writer(Frame(index, index / 30, np.zeros((*size, 3), np.uint8)), t_pose_seen())
    writer.close()
    with av.open(str(writer.path)) as container:
        assert len(list(container.decode(video=0))) == 3


def test_an_unwritable_place_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MocapError, match="overlay"):
        OverlayWriter(tmp_path / "file" / "overlay.mp4")
    with pytest.raises(MocapError, match="overlay"):
        OverlayWriter(tmp_path / "overlay.no_such_format")
