"""A simulated camera that sees a posed body: exact estimates and landmarks, with noise where a test wants it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mocap.body.landmarks import landmarks_from_pose
from mocap.body.skeleton import JOINT, load_skeleton
from mocap.motion.contact import leg_length, sole_offsets
from mocap.types import Camera, Person, PoseEstimate, Roi

LEVEL = np.diag([1.0, -1.0, -1.0])
REST = load_skeleton().rest_joints(np.zeros(10))


def pitched_camera(pitch_deg: float, height_m: float = 1.3, distance_m: float = 3.5, focal_px: float = 1000) -> Camera:
    """A camera over (0, height, distance) that looks at -z, pitched (negative looks down)."""
    R = Rotation.from_euler("x", pitch_deg, degrees=True).as_matrix() @ LEVEL
    return Camera(1280, 720, focal_px, R, np.array([0.0, height_m, distance_m]))


def unplaced(camera: Camera) -> Camera:
    """The camera as the pipeline knows it before calibration."""
    return Camera(camera.width, camera.height, camera.focal_px)


def standing(yaw_deg: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The rest pose with the arms down, on the floor: rotations (24, 3, 3) and the pelvis (3,) m."""
    R = np.tile(np.eye(3), (24, 1, 1))
    R[0] = Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix()
    R[JOINT["left_shoulder"]] = Rotation.from_euler("z", -70, degrees=True).as_matrix()
    R[JOINT["right_shoulder"]] = Rotation.from_euler("z", 70, degrees=True).as_matrix()
    return R, np.array([0.0, leg_length(REST), 0.0])


@dataclass
class Noise:
    """Deviations: rotations in degrees, landmarks in pixels."""

    rotation_deg: float = 0.0
    landmarks_px: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)


def see(
    R_world: np.ndarray, p_root: np.ndarray, camera: Camera, noise: Noise | None = None, track_id: int = 0
) -> tuple[PoseEstimate, Person]:
    """What regressor and tracker would give for a body (24, 3, 3), (3,) m in the world."""
    noise = noise or Noise()
    points = landmarks_from_pose(R_world, p_root)
    px = np.concatenate([camera.project(camera.to_camera(points)), np.zeros((33, 1))], -1)
    px[:, :2] += noise.random.normal(0, 1, (33, 2)) * noise.landmarks_px
    R = R_world.copy()
    R[0] = LEVEL @ camera.R_world_camera.T @ R[0]
    R = R @ Rotation.from_rotvec(noise.random.normal(0, 1, (24, 3)) * np.radians(noise.rotation_deg)).as_matrix()
    box = px[:, :2].min(0), px[:, :2].max(0)
    center, size = (box[0] + box[1]) / 2, float((box[1] - box[0]).max()) * 1.25
    roi = Roi((float(center[0]), float(center[1])), size, 0.0)
    visible = ((px[:, :2] > 0) & (px[:, :2] < (camera.width, camera.height))).all(-1)
    person = Person(track_id, roi, 1.0, px, np.zeros((33, 3)), np.where(visible, 0.95, 0.05))
    return PoseEstimate(track_id, R, np.zeros(10), np.ones(24)), person


def walk(t: float, speed: float = 1.0, still_s: float = 2.5, radius_m: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """A scripted walker: stands, then walks a circle with swinging legs; the lower foot is always on the floor."""
    R, _ = standing()
    phase = max(t - still_s, 0.0)
    ramp = min(phase, 1.0)
    angle = speed * phase * ramp / radius_m
    swing = 0.45 * ramp * np.sin(2 * np.pi * 0.9 * phase)
    R[0] = Rotation.from_euler("y", angle + np.pi / 2 * ramp).as_matrix()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        R[JOINT[f"{side}_hip"]] = Rotation.from_euler("x", sign * -swing).as_matrix()
        bend = 0.5 * ramp * max(0.0, sign * np.cos(5.65 * phase))
        R[JOINT[f"{side}_knee"]] = Rotation.from_euler("x", bend).as_matrix()
    pelvis = np.array([radius_m * np.sin(angle), 0.0, radius_m * (np.cos(angle) - 1)])
    lowest = sole_heights(R, np.zeros(3)).min()
    return R, pelvis - np.array([0.0, lowest, 0.0])


def sole_heights(R_world: np.ndarray, p_root: np.ndarray) -> np.ndarray:
    """Heights (2 feet, 2 points) m of the soles of a body in the world."""
    return soles(R_world, p_root)[..., 1]


def soles(R_world: np.ndarray, p_root: np.ndarray) -> np.ndarray:
    """Sole points (2 feet, 2 points, 3) m of a body in the world."""
    joints = load_skeleton().forward(R_world, p_root, np.zeros(10))
    R_ankle = [R_world[0] @ R_world[h] @ R_world[h + 3] @ R_world[h + 6] for h in (1, 2)]
    offsets = sole_offsets(REST)
    return joints[[7, 8], None] + (np.stack(R_ankle)[:, None] @ offsets[..., None])[..., 0]


def about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def walk_without_sliding(times: np.ndarray, stride: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """A walk in short steps across the picture on flat feet, the lower of which keeps its place, one body a time."""
    bodies: list[tuple[np.ndarray, np.ndarray]] = []
    for t in times:
        R, _ = walk(t, speed=0.0)
        for hip in (1, 2):
            R[hip] = about_x(stride * np.arctan2(R[hip, 2, 1], R[hip, 1, 1]))
            R[hip + 6] = (R[hip] @ R[hip + 3]).T
        p = np.array([0.0, -sole_heights(R, np.zeros(3)).min(), 0.0])
        if bodies:
            before, now = soles(*bodies[-1]), soles(R, p)
            foot, point = np.unravel_index(int(np.argmin(now[..., 1])), (2, 2))
            p = p + (before - now)[foot, point] * [1, 0, 1]
        bodies.append((R, p))
    return bodies
