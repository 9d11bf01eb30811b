"""New motion from recorded motion: trunk, head and limbs of one moment, or one stretch of time, from several clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT
from training.corpus.kinematics import forward, lowest_point, on_floor, smooth_lift
from training.datasets.distinct import distinct
from training.datasets.kinematics import remove_heading
from training.datasets.motion import BODY_JOINT_NAMES, NUM_BODY_JOINTS, Motion, mirror, resample

FPS = 30.0
RECOMBINED = "recombined"  # the source of such motion
EVERY = 3  # frames; among these the distinct ones are looked for
RECORDED_SHARE = 0.7  # of the parts, the rest is scripted
PARTS = {  # what is exchanged as a whole; the legs bring the pelvis with its tilt and height
    "base": ("pelvis",),
    "left_leg": ("left_hip", "left_knee", "left_ankle", "left_foot"),
    "right_leg": ("right_hip", "right_knee", "right_ankle", "right_foot"),
    "spine": ("spine1", "spine2", "spine3"),
    "head": ("neck", "head"),
    "left_arm": ("left_collar", "left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_collar", "right_shoulder", "right_elbow", "right_wrist"),
}
_NOSE, _EAR = np.array([0.0, 0.06, 0.12], np.float32), np.array([0.1, 0.06, 0.0], np.float32)  # m, from the head joint
# Parts that are drawn alike: which joints tell their poses apart, and by how much (m) two of them differ.
_LEG = ("base", "left_leg", "right_leg")
_DRAWN = {
    _LEG: (0.05, ("spine1", *(f"{side}_{name}" for side in ("left", "right") for name in ("knee", "ankle", "foot")))),
    ("spine",): (0.03, ("spine2", "spine3", "neck", "left_shoulder", "right_shoulder")),
    ("head",): (0.03, ("head",)),
    ("left_arm",): (0.06, ("left_shoulder", "left_elbow", "left_wrist", "left_hand")),
    ("right_arm",): (0.06, ("right_shoulder", "right_elbow", "right_wrist", "right_hand")),
}
JOINTS_OF = {part: np.array([JOINT[name] for name in names]) for part, names in PARTS.items()}
assert sum(len(names) for names in PARTS.values()) == len(BODY_JOINT_NAMES)


@dataclass(frozen=True)
class Rows:
    """Frames in which a part of the body differs from all others: each is drawn as often as any other of its kind."""

    rows: NDArray[np.int64]  # (M,)
    recorded: int  # the first so many are recorded, the others scripted

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Frames (count,), RECORDED_SHARE of them recorded."""
        recorded = rng.integers(0, self.recorded, count)
        if self.recorded == len(self.rows):
            return self.rows[recorded]
        scripted = rng.integers(self.recorded, len(self.rows), count)
        return self.rows[np.where(rng.random(count) < RECORDED_SHARE, recorded, scripted)]


@dataclass(frozen=True)
class Bank:
    """Clips at FPS on the floor, from which parts are taken."""

    R: NDArray[np.float32]  # (N, 22, 3, 3) all frames, one clip after the other
    root: NDArray[np.float32]  # (N, 3) m
    start: NDArray[np.int64]  # (C,)
    length: NDArray[np.int64]  # (C,) frames
    parts: dict[str, Rows]


def make_bank(recorded: Sequence[Motion], scripted: Sequence[Motion] = ()) -> Bank:
    """Bank of motions at FPS that stand on the floor."""
    motions = [*recorded, *scripted]
    length = np.array([m.num_frames for m in motions])
    R, root = (np.concatenate([getattr(m, name) for m in motions]) for name in ("R_parent_joint", "p_world_root"))
    cut = int(length[: len(recorded)].sum())
    parts = {part: rows for group in _DRAWN for rows in [_distinct_rows(R, group, cut)] for part in group}
    return Bank(R, root, np.cumsum(length) - length, length, parts)


def _distinct_rows(R: NDArray[np.float32], group: tuple[str, ...], cut: int) -> Rows:
    """Frames that differ in how parts stand to what they hang on (for the legs: to the pelvis and the vertical)."""
    distance, names = _DRAWN[group]
    joints = _joints_alone(R, group, names)
    own, other = EVERY * distinct(joints[:cut:EVERY], distance), cut + EVERY * distinct(joints[cut::EVERY], distance)
    return Rows(np.concatenate([own, other]), len(own))


def _joints_alone(R: NDArray[np.float32], group: tuple[str, ...], names: Sequence[str]) -> NDArray[np.float32]:
    """Joints (N, J, 3) m of poses (N, 22, 3, 3) in which only these parts move; of a head also nose and ear."""
    alone = np.tile(np.eye(3, dtype=np.float32), (*R.shape[:2], 1, 1))
    for part in group:
        alone[:, JOINTS_OF[part]] = R[:, JOINTS_OF[part]]
    joints, R_global = forward(remove_heading(alone), np.zeros((len(R), 3), np.float32))
    seen = joints[:, [JOINT[name] for name in names]]
    if group != ("head",):
        return seen
    return np.concatenate([seen, *(seen + (R_global[:, JOINT["head"]] @ point)[:, None] for point in (_NOSE, _EAR))], 1)


def with_mirror_images(motions: Sequence[Motion]) -> list[Motion]:
    """Motions at FPS on the floor, each followed by its mirror image."""
    grounded = [on_floor(resample(m, FPS)) for m in motions]
    return [image for m in grounded for image in (m, replace(mirror(m), name=f"{m.name}/mirrored"))]


def draw_parts(bank: Bank, count: int, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """For each part the frames (count,) that it comes from. Parts often go together."""
    own = {part: bank.parts[part].draw(count, rng) for part in PARTS}

    def with_other(part: str, other: NDArray[np.int64], share: float) -> NDArray[np.int64]:
        return np.where(rng.random(count) < share, other, own[part])

    parts = {"base": own["base"], "right_leg": own["base"]}
    parts["left_leg"] = with_other("left_leg", own["base"], 0.4)
    parts["spine"] = with_other("spine", own["base"], 0.2)
    parts["head"] = with_other("head", parts["spine"], 0.5)
    parts["left_arm"] = own["left_arm"]
    parts["right_arm"] = with_other("right_arm", own["left_arm"], 0.2)
    return parts


def poses(bank: Bank, count: int, rng: np.random.Generator) -> Motion:
    """Single poses on the floor, unrelated to each other."""
    R = np.empty((count, NUM_BODY_JOINTS, 3, 3), np.float32)
    for part, chosen in draw_parts(bank, count, rng).items():
        R[:, JOINTS_OF[part]] = bank.R[chosen[:, None], JOINTS_OF[part]]
    root = np.zeros((count, 3), np.float32)
    root[:, 1] = -lowest_point(*forward(R, root))
    return Motion("poses", RECOMBINED, RECOMBINED, FPS, R, root)


def sequence(bank: Bank, rng: np.random.Generator) -> Motion:
    """A stretch of 1.5 to 6 s: legs and path of one clip, trunk and arms of others at their own tempo."""
    parts = {part: int(chosen[0]) for part, chosen in draw_parts(bank, 1, rng).items()}
    base = parts["base"]
    rows = _window(bank, base, int(rng.integers(45, 181)), rng)
    R, root = bank.R[rows].copy(), bank.root[rows].copy()
    stretches: dict[int, NDArray[np.float32]] = {base: R.copy()}
    for part, chosen in parts.items():
        chosen = base if part == "left_leg" else chosen  # both feet keep to one step
        if chosen not in stretches:
            stretches[chosen] = _stretch(bank, chosen, len(R), rng)
        R[:, JOINTS_OF[part]] = stretches[chosen][:, JOINTS_OF[part]]
    root[:, 1] += smooth_lift(np.maximum(-lowest_point(*forward(R, root)), 0), FPS)
    return Motion("sequence", RECOMBINED, RECOMBINED, FPS, R, root)


def _window(bank: Bank, row: int, frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a window of at most so many frames about a frame, inside its clip."""
    clip = int(np.searchsorted(bank.start, row, side="right")) - 1
    start, end = int(bank.start[clip]), int(bank.start[clip] + bank.length[clip])
    frames = min(end - start, frames)
    first = int(rng.integers(max(start, row - frames + 1), min(end - frames, row) + 1))
    return np.arange(first, first + frames)


def _stretch(bank: Bank, row: int, frames: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Rotations (frames, 22, 3, 3) of a window played at its own tempo; to and fro where it is too short."""
    tempo = float(rng.uniform(0.7, 1.3))
    rows = _window(bank, row, max(2, int(frames * tempo) + 2), rng)
    R = resample(Motion("", "", "", FPS * tempo, bank.R[rows], bank.root[rows]), FPS).R_parent_joint
    to_and_fro = np.concatenate([np.arange(len(R)), np.arange(len(R) - 2, 0, -1)])
    return R[np.resize(to_and_fro, frames)]
