"""A BVH reader in NumPy, written from the format's description, that shares nothing with the writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def axis_rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "X": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "Y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "Z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


class Bvh:
    """``names``, ``parents``, ``offsets``, ``channels`` per joint; ``motion`` (N, channels); ``frame_time`` s."""

    def __init__(self, path: Path) -> None:
        words = iter(path.read_text().split())
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[list[str]] = []
        self.ends: dict[str, list[float]] = {}
        open_joints, in_end = [-1], False
        for word in words:
            if word in ("ROOT", "JOINT"):
                self.names.append(next(words))
                self.parents.append(open_joints[-1])
                open_joints.append(len(self.names) - 1)
            elif word == "End":
                in_end = True
            elif word == "OFFSET":
                offset = [float(next(words)) for _ in range(3)]
                if in_end:
                    self.ends[self.names[open_joints[-1]]] = offset
                else:
                    self.offsets.append(offset)
            elif word == "CHANNELS":
                self.channels.append([next(words) for _ in range(int(next(words)))])
            elif word == "}":
                if in_end:
                    in_end = False
                else:
                    open_joints.pop()
            elif word == "MOTION":
                break
        assert next(words) == "Frames:"
        count = int(next(words))
        assert [next(words), next(words)] == ["Frame", "Time:"]
        self.frame_time = float(next(words))
        self.motion = np.array([float(word) for word in words]).reshape(count, sum(map(len, self.channels)))

    def joints(self, n: int) -> dict[str, np.ndarray]:
        """Positions of frame n by name, in the file's unit."""
        values = iter(self.motion[n])
        world_R, world_p = [], []
        for parent, offset, channels in zip(self.parents, self.offsets, self.channels, strict=True):
            p, R = np.array(offset), np.eye(3)
            for channel in channels:
                value = next(values)
                if channel.endswith("position"):
                    p["XYZ".index(channel[0])] += value
                else:
                    R = R @ axis_rotation(channel[0], value)
            world_p.append(p if parent < 0 else world_p[parent] + world_R[parent] @ p)
            world_R.append(R if parent < 0 else world_R[parent] @ R)
        return dict(zip(self.names, world_p, strict=True))
