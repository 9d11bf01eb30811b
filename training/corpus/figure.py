"""A posable figure: curves of understandable parameters (angles in degrees, places in metres) -> SMPL rotations.

Every parameter is a curve (T,) over time. Legs either reach for planted feet (inverse kinematics) or take joint
angles; arms take joint angles or reach for hand targets. All of it works on all frames at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mocap.body.skeleton import JOINT
from training.corpus.kinematics import FOOT_RADIUS, Float, forward, lowest_point, rest_joints
from training.datasets.motion import NUM_BODY_JOINTS, Motion
from training.gait import SIDES, rotation

Curves = Mapping[str, Float]  # name -> (T,); see pose() for the names
ANKLE_HEIGHT = float(rest_joints()[JOINT["left_ankle"], 1] - rest_joints()[JOINT["left_foot"], 1]) + FOOT_RADIUS
LEG_PARTS = slice(0, 9)


class Figure:
    """Poses one clip; parameters that a kind of motion does not set keep their default."""

    def __init__(self, curves: Curves, frames: int) -> None:
        self._curves, self._frames = curves, frames
        self.R = np.tile(np.eye(3), (frames, NUM_BODY_JOINTS, 1, 1))
        self.root = np.zeros((frames, 3))

    def get(self, name: str, default: float = 0.0) -> Float:
        return np.broadcast_to(np.asarray(self._curves.get(name, default), float), (self._frames,))

    def has(self, name: str) -> bool:
        return name in self._curves

    def point(self, name: str) -> Float:
        """The curves name_x, name_y, name_z as points (T, 3)."""
        return np.stack([self.get(f"{name}_{axis}") for axis in "xyz"], -1)


def pose(curves: Curves, frames: int, fps: float, name: str) -> Motion:
    """Curves -> motion of the mean skeleton, the lowest point of the body on Y = 0 (plus ``hop``).

    Pelvis: x, y, z (m; y from the floor, only for planted legs), yaw, pitch (forward), roll (to the right side), spin
    (about the body's long axis). Torso: bend, side, twist. Head: nod, turn, tilt. Per leg: foot_x, foot_y (ankle above
    where it stands), foot_z (m), foot_yaw, foot_pitch (heel up), knee_out; or hip_flex, hip_abduct, hip_twist, knee,
    ankle, toes. Per arm: flex, abduct, arm_twist, elbow, pronate, wrist, deviate; or hand_x, hand_y, hand_z (m, in the
    frame of the chest, or of the world with ``hands_in_world``) with arm_out (swivel of the elbow), and palm_yaw where
    the palm lies on a horizontal surface. ``anchor`` keeps the feet where they are while the body leans about them.
    """
    figure = Figure(curves, frames)
    figure.R[:, 0] = _pelvis(figure)
    figure.root[:] = figure.point("pelvis") if figure.has("pelvis_y") else 0.0
    _spine(figure)
    for side, sign in SIDES:
        planted = figure.has(f"{side}_foot_x")
        (_planted_leg if planted else _free_leg)(figure, side, sign)
    if not figure.has("pelvis_y"):
        _stand(figure)
    for side, sign in SIDES:
        (_reaching_arm if figure.has(f"{side}_hand_x") else _free_arm)(figure, side, sign)
    joints, R_global = forward(figure.R, figure.root)
    figure.root[:, 1] += figure.get("hop") - lowest_point(joints, R_global)
    R = figure.R.astype(np.float32)
    return Motion(name, "scripted", "scripted", fps, R, figure.root.astype(np.float32))


def frame(first: Float, second: Float) -> Float:
    """Rotations (..., 3, 3) whose first column points along first, the second as near as it can to second."""
    x = first / np.linalg.norm(first, axis=-1, keepdims=True)
    y = second - (x * second).sum(-1, keepdims=True) * x
    y = y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-9)
    return np.stack([x, y, np.cross(x, y)], -1)


def _pelvis(f: Figure) -> Float:
    tilt = rotation("x", f.get("pitch")) @ rotation("z", f.get("roll")) @ rotation("y", f.get("spin"))
    return rotation("y", f.get("yaw")) @ tilt


def _spine(f: Figure) -> None:
    shares = {"spine1": (0.4, 0.3, 0.25), "spine2": (0.35, 0.35, 0.35), "spine3": (0.25, 0.35, 0.4)}
    for joint, (bend, side, twist) in shares.items():
        turn = rotation("y", twist * f.get("twist")) @ rotation("z", -side * f.get("side"))
        f.R[:, JOINT[joint]] = turn @ rotation("x", bend * f.get("bend"))
    for joint, share in (("neck", 0.45), ("head", 0.55)):
        turn = rotation("y", share * f.get("turn")) @ rotation("z", -share * f.get("tilt"))
        f.R[:, JOINT[joint]] = turn @ rotation("x", share * f.get("nod"))


def _free_leg(f: Figure, side: str, sign: float) -> None:
    """Joint angles: hip_abduct to the outside, hip_twist toes out, ankle toes up."""

    def get(name: str, default: float = 0.0) -> Float:
        return f.get(f"{side}_{name}", default)

    out = rotation("z", sign * get("hip_abduct", 3.0)) @ rotation("y", sign * get("hip_twist", 5.0))
    f.R[:, JOINT[f"{side}_hip"]] = rotation("x", -get("hip_flex")) @ out
    f.R[:, JOINT[f"{side}_knee"]] = rotation("x", get("knee", 4.0))
    f.R[:, JOINT[f"{side}_ankle"]] = rotation("x", -get("ankle"))
    f.R[:, JOINT[f"{side}_foot"]] = rotation("x", -get("toes"))


def _planted_leg(f: Figure, side: str, sign: float) -> None:
    """Two-bone inverse kinematics to the ankle; the knee points where the foot points, turned out by knee_out."""
    rest = rest_joints()
    hip, knee, ankle = (JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    yaw = f.get("yaw") + sign * f.get(f"{side}_foot_yaw", 8.0)
    target = f.point(f"{side}_foot") + np.array([0, ANKLE_HEIGHT, 0])
    start = f.root + f.R[:, 0] @ (rest[hip] - rest[0])
    facing = rotation("y", yaw + sign * f.get(f"{side}_knee_out"))[..., 2]
    pole = facing + 0.35 * f.R[:, 0, :, 2]  # knees follow the feet, and the pelvis a little
    lengths = [float(np.linalg.norm(rest[b] - rest[a])) for a, b in ((hip, knee), (knee, ankle))]
    R_thigh, R_shank = _two_bones(
        start, target, pole, lengths, (rest[knee] - rest[hip], rest[ankle] - rest[knee]), np.array([0.0, 0.0, 1.0])
    )
    R_foot = rotation("y", yaw) @ rotation("x", f.get(f"{side}_foot_pitch"))
    f.R[:, hip] = np.swapaxes(f.R[:, 0], -1, -2) @ R_thigh
    f.R[:, knee] = np.swapaxes(R_thigh, -1, -2) @ R_shank
    f.R[:, ankle] = np.swapaxes(R_shank, -1, -2) @ R_foot
    f.R[:, JOINT[f"{side}_foot"]] = rotation("x", -np.clip(f.get(f"{side}_foot_pitch"), 0, 55))


def _two_bones(
    start: Float, target: Float, pole: Float, lengths: list[float], bones: tuple[Float, Float], front: Float
) -> tuple[Float, Float]:
    """Global rotations (T, 3, 3) of two bones from start (T, 3) to target (T, 3), the middle joint towards pole (T, 3).

    ``bones`` are the rest vectors of the two, ``front`` the rest direction that turns towards the pole.
    """
    a, b = lengths
    line = target - start
    reach = np.linalg.norm(line, axis=-1, keepdims=True)
    d = np.clip(reach, 1.02 * abs(a - b) + 0.06, 0.998 * (a + b))
    basis = frame(line, pole)
    cosine = (a * a + d * d - b * b) / (2 * a * d)
    first = cosine * basis[..., 0] + np.sqrt(np.maximum(1 - cosine**2, 0)) * basis[..., 1]
    second = d * basis[..., 0] - a * first
    out = basis[..., 1]
    return tuple(  # type: ignore[return-value]
        frame(direction, out) @ frame(bone, front).T for direction, bone in zip((first, second), bones, strict=True)
    )


def _stand(f: Figure) -> None:
    """Puts the pelvis over the feet: the lowest point of legs and pelvis on the floor, the feet where they were."""
    joints, R_global = forward(f.R, f.root)
    f.root[:, 1] -= lowest_point(joints, R_global, LEG_PARTS if not f.has("anchor") else slice(None))
    f.root[:, ::2] += np.stack([f.get("pelvis_x"), f.get("pelvis_z")], -1)
    if f.has("anchor"):
        feet = joints[:, [JOINT["left_foot"], JOINT["right_foot"]]].mean(1)
        f.root[:, ::2] -= feet[:, ::2]


def _collar(f: Figure, side: str, sign: float, lift: Float, forth: Float) -> None:
    """The shoulder rises with a raised arm and comes forward with one that reaches ahead, degrees."""
    up = 0.2 * np.clip(lift, -60, 80) + f.get(f"{side}_shrug")
    f.R[:, JOINT[f"{side}_collar"]] = rotation("y", -sign * 0.16 * np.clip(forth, -60, 90)) @ rotation("z", sign * up)


def _free_arm(f: Figure, side: str, sign: float) -> None:
    """Joint angles as in training.gait: flex (arm forward), abduct (outward), arm_twist (forearm forward to up)."""

    def get(name: str, default: float) -> Float:
        return f.get(f"{side}_{name}", default)

    flex, abduct = get("flex", 3.0), get("abduct", 11.0)
    lift = np.clip(np.maximum(abduct, 0.7 * flex) - 50, -45, 70)
    _collar(f, side, sign, lift, 0 * lift)
    R_collar = f.R[:, JOINT[f"{side}_collar"]]
    raised = rotation("x", -flex) @ rotation("z", -sign * (90 - abduct)) @ rotation("x", -get("arm_twist", 0.0))
    f.R[:, JOINT[f"{side}_shoulder"]] = np.swapaxes(R_collar, -1, -2) @ raised
    _forearm(f, side, sign, get("elbow", 16.0))


def _forearm(f: Figure, side: str, sign: float, elbow: Float) -> None:
    pronate = f.get(f"{side}_pronate", 15.0)
    f.R[:, JOINT[f"{side}_elbow"]] = rotation("y", -sign * elbow) @ rotation("x", 0.75 * pronate)
    bend = rotation("z", -sign * f.get(f"{side}_wrist")) @ rotation("y", sign * f.get(f"{side}_deviate"))
    f.R[:, JOINT[f"{side}_wrist"]] = rotation("x", 0.25 * pronate) @ bend


def _reaching_arm(f: Figure, side: str, sign: float) -> None:
    """Two-bone inverse kinematics to the wrist; the elbow hangs down and out, turned by arm_out."""
    rest = rest_joints()
    collar, shoulder, elbow, wrist = (JOINT[f"{side}_{name}"] for name in ("collar", "shoulder", "elbow", "wrist"))
    joints, R_global = forward(f.R, f.root)
    chest, R_chest = joints[:, JOINT["spine3"]], R_global[:, JOINT["spine3"]]
    hand = f.point(f"{side}_hand")
    if f.has("hands_in_world"):
        hand = np.einsum("tji,tj->ti", R_chest, hand - chest)
    reach = hand - (rest[shoulder] - rest[JOINT["spine3"]])  # in the chest's frame
    flat = np.hypot(reach[:, 0], reach[:, 2])
    forth = np.degrees(np.arctan2(reach[:, 2], np.maximum(sign * reach[:, 0], 0.05)))
    _collar(f, side, sign, np.degrees(np.arctan2(reach[:, 1], flat)), forth * np.clip(flat / 0.45, 0, 1))
    R_collar = f.R[:, collar]
    offset = rest[collar] - rest[JOINT["spine3"]]
    start = offset + R_collar @ (rest[shoulder] - rest[collar])
    pole = _elbow_pole(hand - start, sign, f.get(f"{side}_arm_out"))
    bones = (rest[elbow] - rest[shoulder], rest[wrist] - rest[elbow])
    lengths = [float(np.linalg.norm(bone)) for bone in bones]
    R_upper, R_fore = _two_bones(start, hand, pole, lengths, bones, np.array([0.0, 0.0, -1.0]))
    f.R[:, shoulder] = np.swapaxes(R_collar, -1, -2) @ R_upper
    f.R[:, elbow] = np.swapaxes(R_upper, -1, -2) @ R_fore
    if f.has(f"{side}_palm_yaw"):
        _palm_down(f, side, sign, R_chest, R_fore)
    else:
        pronate = f.get(f"{side}_pronate", 15.0)
        f.R[:, elbow] = f.R[:, elbow] @ rotation("x", 0.75 * pronate)
        bend = rotation("z", -sign * f.get(f"{side}_wrist")) @ rotation("y", sign * f.get(f"{side}_deviate"))
        f.R[:, wrist] = rotation("x", 0.25 * pronate) @ bend


def _elbow_pole(line: Float, sign: float, out: Float) -> Float:
    """Where the elbow points (T, 3): down, out and back in the chest's frame, turned about the line by arm_out, deg.

    The more out, the higher the hand: along the upright arm of a hand behind the head, down would say nothing.
    """
    x = line / np.linalg.norm(line, axis=-1, keepdims=True)
    out_of_side = sign * (0.35 + np.clip(x[:, 1], 0, 1))
    basis = frame(x, np.stack([out_of_side, -np.ones(len(x)), np.full(len(x), -0.45)], -1))
    turn = np.radians(sign * out)[:, None]
    return np.cos(turn) * basis[..., 1] + np.sin(turn) * basis[..., 2]


def _palm_down(f: Figure, side: str, sign: float, R_chest: Float, R_fore: Float) -> None:
    """The palm on a horizontal surface, fingers towards palm_yaw (deg, 0 ahead); the forearm takes most twist."""
    yaw = f.get("yaw") + sign * f.get(f"{side}_palm_yaw")
    fingers = rotation("y", yaw)[..., 2]
    up = np.broadcast_to(np.array([0.0, 1.0, 0.0]), fingers.shape)
    R_hand = frame(fingers, up) @ frame(np.array([sign, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])).T
    local = np.swapaxes(R_chest @ R_fore, -1, -2) @ R_hand
    twist = np.degrees(np.arctan2(local[:, 2, 1] - local[:, 1, 2], local[:, 1, 1] + local[:, 2, 2]))
    forearm = rotation("x", np.clip(0.8 * twist, -85, 85))
    f.R[:, JOINT[f"{side}_elbow"]] = f.R[:, JOINT[f"{side}_elbow"]] @ forearm
    f.R[:, JOINT[f"{side}_wrist"]] = np.swapaxes(forearm, -1, -2) @ local
