"""Skeleton maps: which joint of a tool's skeleton is which of SMPL's, read from ``skeletons/*.yaml``.

A map's ``joints`` give the tool's name for each SMPL joint (``hip: "{side}UpLeg"`` stands for both sides; a list gives
names to try in order), ``also`` the names that it knows and leaves out. Names are compared without case, separators and
the prefix that all joints of a file share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT
from mocap.errors import MocapError
from training.datasets.motion import BODY_JOINT_NAMES

SIDES = ("left", "right")
PAIRED = tuple(name.removeprefix("left_") for name in BODY_JOINT_NAMES if name.startswith("left_"))
REQUIRED = (
    "pelvis",
    *(f"{side}_{part}" for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist") for side in SIDES),
)
TORSO = ("spine1", "spine2", "spine3", "neck", "head")  # at least one of them
_KEYS = {"description", "sides", "joints", "also", "axes", "up", "align"}
_DIRECTIONS = {
    "left": (1, 0, 0), "right": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "front": (0, 0, 1), "back": (0, 0, -1),
    "out": (1, 0, 0), "in": (-1, 0, 0),
}  # fmt: skip


@dataclass(frozen=True)
class SkeletonMap:
    """One tool's skeleton."""

    name: str
    joints: dict[str, tuple[str, ...]]  # SMPL joint -> names to try
    also: tuple[str, ...] = ()  # patterns of known names without a joint of SMPL
    # SMPL joint -> (3, 3) whose columns are the tool's joint axes in the T-pose, in SMPL's body axes. Empty where the
    # pose of all-zero rotations is itself a T- or A-pose.
    axes: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    up: str = ""  # "y" or "z"; empty: found from the rest pose
    align: bool = True  # False: the skeleton is SMPL's, rotations are taken as they are

    def match(self, names: Sequence[str]) -> dict[int, int]:
        """SMPL joint -> index in ``names``, of those that are there."""
        places = dict(_places(names))
        found = {}
        for joint, candidates in self.joints.items():
            there = [places[_plain(candidate)] for candidate in candidates if _plain(candidate) in places]
            if there:
                found[JOINT[joint]] = there[0]
        return found

    def missing(self, names: Sequence[str]) -> list[str]:
        """Joints that retargeting cannot do without and that are not in ``names``."""
        found = self.match(names)
        missing = [joint for joint in REQUIRED if JOINT[joint] not in found]
        return missing if any(JOINT[joint] in found for joint in TORSO) else [*missing, "spine1"]

    def unknown(self, names: Sequence[str]) -> list[str]:
        """The file's joints that the map neither uses nor lists in ``also``."""
        used = set(self.match(names).values())
        also = [_plain(pattern) for pattern in self.also]
        used |= {index for plain, index in _places(names) if any(fnmatch(plain, pattern) for pattern in also)}
        return [name for index, name in enumerate(names) if index not in used]


def _places(names: Sequence[str]) -> list[tuple[str, int]]:
    """Plain names with their places, also without the prefix that all share (``Character1_LeftLeg``: ``leftleg``)."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    shared = first[: max(first.rfind(mark, 0, same) for mark in ":_|") + 1] if len(names) > 1 else ""
    return [(_plain(name[len(cut) :]), index) for cut in (shared, "") for index, name in enumerate(names)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9*]", "", re.sub(r"^mixamorig\d*", "", name.split(":")[-1].lower()))


@lru_cache(maxsize=1)
def load_maps() -> tuple[SkeletonMap, ...]:
    """The maps that come with the project."""
    folder = resources.files("training.datasets") / "skeletons"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    return tuple(parse_map(item.name.removesuffix(".yaml"), item.read_text("utf-8")) for item in files)


def parse_map(name: str, text: str) -> SkeletonMap:
    """A map from its YAML text."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MocapError(f"skeleton map {name}: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("joints"), dict):
        raise MocapError(f"skeleton map {name}: expected the key joints with SMPL joints and the tool's names for them")
    wrong = set(data) - _KEYS
    if wrong:
        raise MocapError(
            f"skeleton map {name}: unknown key {', '.join(sorted(wrong))}; expected {', '.join(sorted(_KEYS))}"
        )
    sides = data.get("sides", ["Left", "Right"])
    joints: dict[str, tuple[str, ...]] = {}
    axes = {}
    for joint, names in data["joints"].items():
        names = [names] if isinstance(names, str) else names
        for smpl, side in _both_sides(name, joint):
            joints[smpl] = tuple(text.replace("{side}", sides[side]) for text in names)
    for joint, given in ((joint, given) for key, given in data.get("axes", {}).items() for joint in key.split()):
        for smpl, side in _both_sides(name, joint):
            axes[smpl] = _axes(f"skeleton map {name}: axes of {joint}", given, mirrored=side == 1)
    without = [joint for joint in joints if axes and joint not in axes]
    if without:
        raise MocapError(f"skeleton map {name}: expected axes for all joints or none; missing: {', '.join(without)}")
    also = tuple(data.get("also", ()))
    return SkeletonMap(name, joints, also, axes, data.get("up", ""), data.get("align", True))


def _both_sides(name: str, joint: str) -> list[tuple[str, int]]:
    if joint in BODY_JOINT_NAMES:
        return [(joint, int(joint.startswith("right")))]
    if joint in PAIRED:
        return [(f"{side}_{joint}", index) for index, side in enumerate(SIDES)]
    raise MocapError(
        f"skeleton map {name}: {joint} is not a joint of SMPL; expected one of {', '.join(BODY_JOINT_NAMES)}"
    )


def _axes(where: str, given: dict[str, Any], mirrored: bool) -> NDArray[np.float64]:
    """Two axes, words or three numbers for the left side -> (3, 3); the third follows, the second is made square."""
    if len(given) != 2 or not set(given) <= set("xyz"):
        raise MocapError(f"{where}: expected two of x, y and z, found {', '.join(given)}")
    (first, a), (second, b) = ((("xyz").index(key), _direction(where, value, mirrored)) for key, value in given.items())
    matrix = np.zeros((3, 3))
    matrix[:, first] = a / np.linalg.norm(a)
    b = b - matrix[:, first] * (matrix[:, first] @ b)
    matrix[:, second] = b / np.linalg.norm(b)
    third = 3 - first - second
    matrix[:, third] = np.cross(matrix[:, (third + 1) % 3], matrix[:, (third + 2) % 3])
    return matrix


def _direction(where: str, value: Any, mirrored: bool) -> NDArray[np.float64]:
    if isinstance(value, str) and value in _DIRECTIONS:
        vector, mirrored = np.array(_DIRECTIONS[value], float), mirrored and value in ("in", "out")
    elif isinstance(value, list) and len(value) == 3:
        vector = np.array(value, float)
    else:
        raise MocapError(f"{where}: expected {', '.join(_DIRECTIONS)} or three numbers, found {value!r}")
    return vector * np.array([-1.0, 1.0, 1.0]) if mirrored else vector
