"""Persons as a perfect landmark network would see them: landmarks of a posed body, in pixels and in crop axes."""

from __future__ import annotations

import numpy as np

from mocap.body.joint_limits import joint_limits
from mocap.body.landmarks import landmarks_from_pose
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT
from mocap.types import Array, Camera, Frame, Person, Roi

CAMERA = Camera(1280, 720, 1000.0)
P_ROOT = (0.0, 0.0, -4.0)  # m, level-world axes, camera at 0
MIRROR_AXES = np.array([-1.0, 1.0, 1.0])
LEFT_RIGHT = np.array(
    [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9] + [i + 1 if i % 2 else i - 1 for i in range(11, 33)]
)  # each landmark's partner
JOINT_PARTNER = np.array([JOINT[n.replace("left", "?").replace("right", "left").replace("?", "right")] for n in JOINT])


def turn(x: float = 0, y: float = 0, z: float = 0) -> Array:
    """R_y R_z R_x from degrees."""
    R_x, R_y, R_z = axis_angle_to_matrix(np.radians(np.array([[x, 0, 0], [0, y, 0], [0, 0, z]])))
    return R_y @ R_z @ R_x


def pose(yaw: float = 0, **turns: tuple[float, float, float]) -> Array:
    """Standing pose with the named joints turned (x, y, z degrees) and the body turned about the vertical."""
    R = joint_limits().R_neutral.copy()
    R[0] = turn(y=yaw)
    for name, degrees in turns.items():
        R[JOINT[name]] = turn(*degrees)
    return R


POSES = {
    "standing": pose(),
    "t_pose": np.tile(np.eye(3), (24, 1, 1)),
    "elbows_bent": pose(
        left_shoulder=(0, 0, -70), right_shoulder=(0, 0, 70), left_elbow=(0, -90, 0), right_elbow=(0, 90, 0)
    ),
    "arms_forward": pose(left_elbow=(0, -40, 0), right_elbow=(0, 40, 0)),
    "squat": pose(
        left_hip=(-80, 0, 10), right_hip=(-80, 0, -10), left_knee=(100, 0, 0), right_knee=(100, 0, 0),
        left_ankle=(-20, 0, 0), right_ankle=(-20, 0, 0), spine1=(15, 0, 0), spine2=(10, 0, 0),
    ),
    "step": pose(left_hip=(-30, 0, 0), right_hip=(20, 0, 0), right_knee=(30, 0, 0), right_ankle=(20, 0, 0)),
    "head_turned": pose(neck=(0, 20, 0), head=(0, 25, 0)),
    "palms_turned": pose(left_elbow=(50, -70, 0), right_elbow=(-35, 70, 0)),
}  # fmt: skip
for _side, _sign in (("left", -1), ("right", 1)):  # raised forward from hanging, elbows down
    POSES["arms_forward"][JOINT[f"{_side}_shoulder"]] = turn(x=-70) @ turn(z=_sign * 80)


def person(
    R: Array,
    track_id: int = 0,
    visibility: float | Array = 1.0,
    betas: Array | None = None,
    p_root: tuple[float, float, float] = P_ROOT,
    noise: float = 0.0,
    seed: int = 0,
) -> Person:
    """The person whose pose in level-world axes is ``R`` (24, 3, 3); noise in metres on the world landmarks."""
    landmarks = landmarks_from_pose(R.astype(np.float32), np.asarray(p_root, np.float32), betas)
    p_camera = landmarks.astype(np.float64) * [1, -1, -1]
    hips = p_camera[[23, 24]].mean(0)
    px = CAMERA.project(p_camera)
    world = (p_camera - hips) @ _look_at(hips)
    world = world + noise * np.random.default_rng(seed).standard_normal((33, 3))
    x, y = CAMERA.project(hips)
    return Person(
        track_id=track_id,
        roi=Roi((float(x), float(y)), 500.0, 0.0),
        score=1.0,
        landmarks_px=np.concatenate([px, np.zeros((33, 1))], 1).astype(np.float32),
        landmarks_world=world.astype(np.float32),
        visibility=np.broadcast_to(np.asarray(visibility, np.float32), (33,)).copy(),
    )


def _look_at(p_camera: Array) -> Array:
    """Camera axes from the axes of a camera that looks straight at a point (the shortest rotation)."""
    ray = p_camera / np.linalg.norm(p_camera)
    axis = np.cross([0.0, 0.0, 1.0], ray)
    sine = float(np.linalg.norm(axis))
    return axis_angle_to_matrix(axis / max(sine, 1e-12) * np.arctan2(sine, ray[2]))


def mirrored(R: Array) -> Array:
    """The pose (24, 3, 3) seen in a mirror: left and right change places."""
    return (MIRROR_AXES[:, None] * R * MIRROR_AXES)[JOINT_PARTNER]


def frame(t: float) -> Frame:
    """A frame whose picture nobody looks at."""
    return Frame(round(t * 30), t, np.zeros((1, 1, 3), np.uint8))
