"""Tables that describe a data set: clips and hours by source and split, and how far and how fast each joint turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import geodesic_angle, matrix_to_axis_angle
from training.datasets.distinct import distinct_poses
from training.datasets.motion import BODY_JOINT_NAMES, NUM_BODY_JOINTS, Motion
from training.datasets.splits import SPLITS, split_of


@dataclass(frozen=True)
class JointStatistics:
    """Per body joint; entry 0 is the pelvis in the world. Degrees."""

    angle: NDArray[np.float64]  # (22, 2) from the rest pose: median and 99th percentile
    low: NDArray[np.float64]  # (22, 3) 1st percentile of the rotation vector about x, y, z
    high: NDArray[np.float64]  # (22, 3) 99th percentile
    speed: NDArray[np.float64]  # (22,) mean, degrees a second


def joint_statistics(motions: Sequence[Motion]) -> JointStatistics:
    """Over all frames; speeds between the neighbouring frames of each motion."""
    vectors = np.concatenate([np.degrees(matrix_to_axis_angle(motion.R_parent_joint)) for motion in motions])
    angle = np.percentile(np.linalg.norm(vectors, axis=-1), (50, 99), axis=0).T
    low, high = np.percentile(vectors, (1, 99), axis=0)
    turned, seconds = np.zeros(NUM_BODY_JOINTS), 0.0
    for motion in motions:
        steps = geodesic_angle(motion.R_parent_joint[:-1], motion.R_parent_joint[1:])
        turned += np.degrees(steps.astype(np.float64)).sum(0)
        seconds += len(steps) / motion.fps
    return JointStatistics(angle, low, high, turned / max(seconds, 1e-9))


def joint_table(motions: Sequence[Motion]) -> str:
    """Each joint's range and mean speed as text."""
    stats = joint_statistics(motions)
    lines = [
        f"{'degrees':16}{'median':>7}{'99 %':>6}   {'x 1..99 %':>12} {'y 1..99 %':>12} {'z 1..99 %':>12}{'mean/s':>8}"
    ]
    for joint, name in enumerate(BODY_JOINT_NAMES):
        low, high = stats.low[joint], stats.high[joint]
        ranges = " ".join(f"{f'{a:.0f}..{b:.0f}':>12}" for a, b in zip(low, high, strict=True))
        median, most = stats.angle[joint]
        lines.append(f"{name:16}{median:7.0f}{most:6.0f}   {ranges}{stats.speed[joint]:8.0f}")
    return "\n".join(lines)


def clip_table(motions: Sequence[Motion]) -> str:
    """Clips, subjects, frames, hours, dropped frames and distinct poses by source and split as text."""
    groups: dict[tuple[str, str], list[Motion]] = {}
    for motion in sorted(motions, key=lambda m: (m.source, SPLITS.index(split_of(m)))):
        groups.setdefault((motion.source, split_of(motion)), []).append(motion)
    rows = [(source, split, group) for (source, split), group in groups.items()]
    rows.append(("all", "", list(motions)))
    head = f"{'source':20}{'split':6}{'clips':>7}{'people':>8}{'frames':>9}{'hours':>7}{'dropped':>9}{'distinct':>10}"
    return "\n".join([head, *(_row(source, split, group) for source, split, group in rows)])


def _row(source: str, split: str, motions: Sequence[Motion]) -> str:
    frames = sum(motion.num_frames for motion in motions)
    hours = sum(motion.seconds for motion in motions) / 3600
    people = len({motion.subject for motion in motions})
    dropped = sum(motion.dropped_frames for motion in motions)
    distinct = len(distinct_poses(motions))
    return f"{source:20}{split:6}{len(motions):7}{people:8}{frames:9}{hours:7.2f}{dropped:9}{distinct:10}"
