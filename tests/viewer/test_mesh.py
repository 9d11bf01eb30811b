"""The mesh covers the body where the camera sees it, and no pose and no picture stops the drawing."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import mocap
from mocap.assets import asset_path
from mocap.body.mesh import load_coarse_body
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, NUM_BETAS, NUM_JOINTS, load_skeleton
from mocap.types import BodyPose, Camera
from mocap.viewer.mesh import COLORS, color_of, draw_meshes

WIDTH, HEIGHT = 640, 360
CAMERA = Camera(WIDTH, HEIGHT, 350.0)


def body_at(*root: float, track_id: int = 0, **turned: tuple[float, float, float]) -> BodyPose:
    """The mean body with its pelvis at x, y, z m (the camera is at 0 and looks along -z); joints turned by degrees."""
    axis_angle = np.zeros((NUM_JOINTS, 3))
    for joint, degrees in turned.items():
        axis_angle[JOINT[joint]] = np.radians(degrees)
    return posed(axis_angle_to_matrix(axis_angle), root, np.zeros(NUM_BETAS), track_id)


def posed(R: np.ndarray, root: tuple[float, ...], betas: np.ndarray, track_id: int = 0) -> BodyPose:
    R_, p, shape = (np.asarray(x, np.float32) for x in (R, root, betas))
    joints = load_skeleton().forward(R_, p, shape)
    return BodyPose(track_id, 0.0, R_, p, shape, joints, np.ones(NUM_JOINTS, np.float32), np.ones(2, np.float32))


def drawn(*poses: BodyPose, camera: Camera = CAMERA, grey: int = 0) -> np.ndarray:
    canvas = np.full((camera.height, camera.width, 3), grey, np.uint8)
    draw_meshes(canvas, poses, camera)
    return canvas


def covered(*poses: BodyPose, camera: Camera = CAMERA) -> np.ndarray:
    return drawn(*poses, camera=camera).any(-1)


def tilted(camera: Camera, degrees: tuple[float, float, float]) -> Camera:
    """The camera elsewhere, turned."""
    R = axis_angle_to_matrix(np.radians(degrees)).astype(np.float32)
    return replace(
        camera, R_world_camera=R @ camera.R_world_camera, p_world_camera=np.array([0.3, 0.4, 0.5], np.float32)
    )


def full_silhouette(pose: BodyPose, camera: Camera) -> np.ndarray:
    """Where all triangles of the full mesh are, by the same skinning."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("smplx")
    from mocap.body.model import load_body

    body = load_body()
    points = body.vertices(*(torch.from_numpy(x) for x in (pose.R_parent_joint, pose.p_world_root, pose.betas))).numpy()
    px = camera.project(camera.to_camera(points))[body.faces.numpy()]
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for corners in np.rint((px - 0.5) * 16).astype(np.int32):
        cv2.fillConvexPoly(mask, corners, [1], cv2.LINE_8, 4)
    return mask > 0


@pytest.mark.parametrize("seed", range(4))
def test_it_covers_what_the_full_mesh_covers_without_holes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    R = axis_angle_to_matrix(np.concatenate([rng.normal(0, 1.5, (1, 3)), rng.normal(0, 0.3, (NUM_JOINTS - 1, 3))]))
    pose = posed(R, (0.2, 0.1, -3), rng.normal(0, 0.7, NUM_BETAS))
    camera = tilted(replace(CAMERA, focal_px=500.0), (5, -8, 12))
    mask, full = covered(pose, camera=camera), full_silhouette(pose, camera)
    assert full.sum() > 5000
    assert (mask & full).sum() / (mask | full).sum() > 0.94
    inner = cv2.erode(full.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert mask[inner].all()


@pytest.mark.parametrize("seed", range(4))
def test_every_joint_lies_under_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    R = axis_angle_to_matrix(rng.normal(0, 0.3, (NUM_JOINTS, 3)))
    camera = tilted(CAMERA, (-6, 10, -15))
    pose = posed(R, (0.1, 0, -3), np.zeros(NUM_BETAS))
    column, row = camera.project(camera.to_camera(pose.p_world_joint)).astype(int).T
    assert covered(pose, camera=camera)[row, column].all()


def test_it_is_neither_mirrored_nor_upside_down() -> None:
    """One who faces the camera lifts the left arm and lowers the right: the hand is up at the right of the picture."""
    mask = covered(body_at(0, 0, -3, left_shoulder=(0, 0, 80), right_shoulder=(0, 0, 80)))
    rows, columns = np.nonzero(mask)
    assert columns[rows < rows.min() + 10].mean() > WIDTH / 2 + 10
    assert mask[: HEIGHT // 2, WIDTH // 2 :].sum() > mask[: HEIGHT // 2, : WIDTH // 2].sum()


def test_the_nearer_hides_the_farther_in_any_order() -> None:
    near, far = body_at(0, 0, -2, track_id=0), body_at(0.1, 0, -4, track_id=1)
    both = drawn(near, far)
    np.testing.assert_array_equal(both, drawn(far, near))
    np.testing.assert_array_equal(both[covered(near)], drawn(near)[covered(near)])
    assert (both[covered(far) & ~covered(near)] == drawn(far)[covered(far) & ~covered(near)]).all()


def test_a_hand_before_the_face_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand, which is the nearest to the camera, looks as if it were alone."""
    pose, body = body_at(0, 0, -1.5, left_shoulder=(0, -105, 0)), load_coarse_body()
    is_hand = (body.weights[:, [JOINT["left_hand"], JOINT["left_wrist"]]].sum(1) > 0.9)[body.faces].all(1)
    pictures = {"all": drawn(pose)}
    for name, faces in (("hand", is_hand), ("rest", ~is_hand)):
        part = replace(body, faces=body.faces[faces])
        monkeypatch.setattr("mocap.viewer.mesh.load_coarse_body", lambda part=part: part)
        pictures[name] = drawn(pose)
    both = pictures["hand"].any(-1) & pictures["rest"].any(-1)
    assert both.sum() > 500
    assert (pictures["all"] == pictures["hand"]).all(-1)[both].mean() > 0.9


def test_the_picture_shines_through_and_stays_outside() -> None:
    pose = body_at(0, 0, -3)
    mask, light, dark = covered(pose), drawn(pose, grey=200), drawn(pose, grey=50)
    assert (light[~mask] == 200).all()
    assert (light[mask] > dark[mask]).all()


def test_light_shapes_it() -> None:
    """From the left: the trunk is lighter at its left in the picture than at its right."""
    pose = body_at(0, 0, -1.2)
    x, y = CAMERA.project(CAMERA.to_camera(pose.p_world_joint[JOINT["spine1"]])).astype(int)
    row = drawn(pose)[y].max(-1).astype(float)
    seen = np.flatnonzero(row)
    assert row[seen[:20]].mean() > 1.5 * row[seen[-20:]].mean()
    assert seen[0] < x < seen[-1]


def test_every_person_that_can_be_tracked_has_a_colour_of_his_own() -> None:
    assert len({color_of(track_id) for track_id in range(8)}) == 8
    assert color_of(8 + len(COLORS)) == color_of(8)


BROKEN: list[dict[str, Any]] = [
    {"R_parent_joint": np.full((NUM_JOINTS, 3, 3), np.nan, np.float32)},
    {"p_world_root": np.array([0, np.inf, -3], np.float32)},
    {"p_world_root": np.full(3, -1e20, np.float32)},
    {"p_world_root": np.array([0, 0, -np.inf], np.float32)},
    {"betas": np.full(NUM_BETAS, np.nan, np.float32)},
    {"betas": np.full(NUM_BETAS, 3e38, np.float32)},
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_pose_is_left_out_and_hides_nobody(broken: dict[str, Any]) -> None:
    good = body_at(0, 0, -3, track_id=1)
    np.testing.assert_array_equal(drawn(replace(good, **broken), good), drawn(good))


@pytest.mark.parametrize("root", [(0, 0, 3), (0, 0, 0.3), (9, 0, -3), (0, -9, -3), (-1e3, 0, -3), (0, 0, -9e3)])
def test_what_is_behind_the_camera_or_outside_the_picture_is_left_out(root: tuple[float, ...]) -> None:
    assert covered(body_at(*root)).sum() <= 4  # at 9 km a dot


@pytest.mark.parametrize("root", [(0, 0, -0.5), (0, 0, -0.3), (0.4, -0.5, -0.3), (2.1, 0, -3), (0, 1.4, -2)])
def test_a_body_partly_in_the_picture_is_drawn_there(root: tuple[float, ...]) -> None:
    assert covered(body_at(*root)).any()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 7), (3, 2), (17, 40), (2000, 3)])
@pytest.mark.parametrize("root", [(0, 0, -3), (0, 0, -0.2), (1, 0.5, -1)])
def test_tiny_pictures(size: tuple[int, int], root: tuple[float, ...]) -> None:
    camera = Camera(*size, focal_px=max(size) * 0.8)
    assert drawn(body_at(*root), camera=camera).shape == (size[1], size[0], 3)
    assert covered(body_at(0, 0, -1), camera=camera).any()


def test_a_wild_shape_is_drawn_or_left_out() -> None:
    for scale in (30, 1e4, 1e8):
        drawn(replace(body_at(0, 0, -3), betas=np.full(NUM_BETAS, scale, np.float32)))


def test_drawing_needs_no_torch_and_no_file_but_the_body() -> None:
    assert asset_path("open_body.npz").exists()
    program = (
        "import sys, numpy as np\n"
        "from tests.viewer.test_mesh import body_at, drawn\n"
        "assert drawn(body_at(0, 0, -3)).any()\n"
        "sys.exit(', '.join({'torch', 'smplx', 'mediapipe'} & set(sys.modules)) or 0)\n"
    )
    root = Path(mocap.__file__).parents[1]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_body_is_loaded_once() -> None:
    assert load_coarse_body() is load_coarse_body()
