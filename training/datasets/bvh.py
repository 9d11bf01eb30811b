"""BVH of any tool: the hierarchy and the motion as written, with no opinion on what the joints mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mocap.errors import MocapError

_CHANNELS = ("xposition", "yposition", "zposition", "xrotation", "yrotation", "zrotation")
_NOT_A_NUMBER = re.compile(r"[+-]?\d*\.?\d*#(ind|qnan|snan|inf)\w*", re.IGNORECASE)  # as Windows' C runtime printed it


@dataclass(frozen=True)
class Bvh:
    """A BVH file. Lengths are in the file's own unit, axes are the file's own axes."""

    path: Path
    names: tuple[str, ...]  # J joints, parents before children
    parents: tuple[int, ...]  # -1 for the root
    offsets: NDArray[np.float64]  # (J, 3) from the parent joint, in the parent's axes
    end_sites: dict[int, NDArray[np.float64]]  # joint -> (3,) its End Site, in the joint's axes
    fps: float
    R_parent_joint: NDArray[np.float64]  # (T, J, 3, 3)
    p_parent_joint: NDArray[np.float64]  # (T, J, 3): the offset, or the position channels where a joint has them

    @property
    def num_frames(self) -> int:
        return len(self.R_parent_joint)

    def global_rotations(self, R_parent_joint: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """World from joint (..., J, 3, 3), of the file's frames or of other local rotations of its joints."""
        R = (self.R_parent_joint if R_parent_joint is None else R_parent_joint).copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                R[..., joint, :, :] = R[..., parent, :, :] @ R[..., joint, :, :]
        return R

    def joint_positions(self) -> NDArray[np.float64]:
        """Joints (T, J, 3) in the world, in the file's unit."""
        R = self.global_rotations()
        p = self.p_parent_joint.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                p[:, joint] = p[:, parent] + (R[:, parent] @ self.p_parent_joint[:, joint, :, None])[..., 0]
        return p


def read_bvh(path: Path) -> Bvh:
    """Read a BVH file. An unreadable one raises an error with the line and what was expected there."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MocapError(f"cannot read {path}: {error.strerror}") from error
    return _Parser(path, text.replace("\r\n", "\n").replace("\r", "\n").split("\n")).parse()


class _Parser:
    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.lines = lines
        self.statements = self._statements()
        self.number = 0  # of the current line, from 1
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[NDArray[np.float64]] = []
        self.channels: list[list[str]] = []
        self.end_sites: dict[int, NDArray[np.float64]] = {}

    def parse(self) -> Bvh:
        self._expect("HIERARCHY")
        words = self._next("ROOT <name>").split(maxsplit=1)
        if words[0].upper() != "ROOT":
            raise self._error("ROOT <name>", " ".join(words))
        self._joint(words[1] if len(words) > 1 else "root", -1)
        self._expect("MOTION")
        count = int(self._header(r"frames\s*:\s*(\d+)", "Frames: <count>"))
        seconds = float(self._header(r"frame\s+time\s*:\s*([-+.\deE]+)", "Frame Time: <seconds>"))
        if not seconds > 0:
            raise self._error("a frame time above 0", f"{seconds:g}")
        return self._assemble(self._frames(count), _frame_rate(seconds))

    def _statements(self) -> Iterator[tuple[int, str]]:
        """Line number and text; a brace is a statement of its own wherever the file puts it."""
        for number, line in enumerate(self.lines, 1):
            for part in re.split(r"([{}])", line.lstrip("\ufeff")):
                if part.strip():
                    yield number, part.strip()

    def _next(self, expected: str) -> str:
        try:
            self.number, text = next(self.statements)
        except StopIteration:
            self.number = len(self.lines)
            raise self._error(expected, "the end of the file") from None
        return text

    def _expect(self, word: str) -> None:
        found = self._next(word)
        if found.upper() != word:
            raise self._error(word, found)

    def _header(self, pattern: str, expected: str) -> str:
        found = self._next(expected)
        match = re.fullmatch(pattern, found, re.IGNORECASE)
        if not match:
            raise self._error(expected, found)
        return match[1]

    def _error(self, expected: str, found: str) -> MocapError:
        return MocapError(f"{self.path}, line {self.number}: expected {expected}, found {found[:60]!r}")

    def _joint(self, name: str, parent: int) -> None:
        """One joint and everything below it, from its opening brace to its closing one."""
        joint = len(self.names)
        if name in self.names:
            raise self._error("each joint name once", name)
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append(np.zeros(3))
        self.channels.append([])
        self._expect("{")
        while (text := self._next("OFFSET, CHANNELS, JOINT, End Site or }")) != "}":
            keyword, _, rest = text.partition(" ") if " " in text else text.partition("\t")
            if keyword.upper() == "OFFSET":
                self.offsets[joint] = self._vector(rest)
            elif keyword.upper() == "CHANNELS":
                self.channels[joint] = self._channels(rest)
            elif keyword.upper() == "JOINT" and rest.strip():
                self._joint(rest.strip(), joint)
            elif re.fullmatch(r"end\s+site", text, re.IGNORECASE):
                self._end_site(joint)
            else:
                raise self._error("OFFSET, CHANNELS, JOINT, End Site or }", text)

    def _end_site(self, joint: int) -> None:
        self._expect("{")
        text = self._next("OFFSET x y z")
        keyword, *rest = text.split()
        if keyword.upper() != "OFFSET":
            raise self._error("OFFSET x y z", text)
        self.end_sites[joint] = self._vector(" ".join(rest))
        self._expect("}")

    def _vector(self, text: str) -> NDArray[np.float64]:
        try:
            vector = np.array([float(word) for word in text.split()])
        except ValueError:
            raise self._error("three numbers after OFFSET", text) from None
        if vector.shape != (3,) or not np.isfinite(vector).all():
            raise self._error("three numbers after OFFSET", text)
        return vector

    def _channels(self, text: str) -> list[str]:
        count, *names = text.lower().split() or [""]
        if not count.isdigit() or int(count) != len(names) or len(set(names)) != len(names):
            raise self._error("CHANNELS <count> followed by as many different channel names", text)
        for name in names:
            if name not in _CHANNELS:
                raise self._error(f"a channel of {', '.join(_CHANNELS)}", name)
        return names

    def _frames(self, count: int) -> NDArray[np.float64]:
        """The numbers (T, C) after the header."""
        width = sum(len(channels) for channels in self.channels)
        rows: list[list[float]] = []
        for number, line in enumerate(self.lines[self.number :], self.number + 1):
            words = line.split()
            if not words:
                continue
            self.number = number
            if len(rows) == count:
                raise self._error(f"the end after {count} frames, as the header says", line)
            if len(words) != width:
                raise self._error(f"{width} numbers, one for each channel", f"{len(words)} in frame {len(rows)}")
            rows.append(self._numbers(words))
        if len(rows) != count or not count:
            self.number = len(self.lines)
            raise self._error(f"{count or 'at least 1'} frames", f"{len(rows)} frames")
        return np.array(rows)

    def _numbers(self, words: list[str]) -> list[float]:
        try:
            return [float(word) for word in words]
        except ValueError:
            pass
        return [self._number(word) for word in words]

    def _number(self, word: str) -> float:
        try:
            return float("nan" if _NOT_A_NUMBER.fullmatch(word) else word)
        except ValueError:
            raise self._error("a number", word) from None

    def _assemble(self, values: NDArray[np.float64], fps: float) -> Bvh:
        frames, joints = len(values), len(self.names)
        R = np.tile(np.eye(3), (frames, joints, 1, 1))
        p = np.tile(np.array(self.offsets), (frames, 1, 1))
        column = 0
        for joint, channels in enumerate(self.channels):
            block = values[:, column : column + len(channels)]
            column += len(channels)
            for index, channel in enumerate(channels):
                if channel.endswith("position"):
                    p[:, joint, "xyz".index(channel[0])] = block[:, index]
            rotations = [i for i, channel in enumerate(channels) if channel.endswith("rotation")]
            if rotations:
                R[:, joint] = _rotations("".join(channels[i][0] for i in rotations), block[:, rotations])
        offsets = np.array(self.offsets)
        moved = [j for j, channels in enumerate(self.channels) if j and _num_positions(channels) == 3]
        if moved and _are_moves(p[:, moved], offsets[moved]):
            p[:, moved] += offsets[moved]
        return Bvh(self.path, tuple(self.names), tuple(self.parents), offsets, self.end_sites, fps, R, p)


def _num_positions(channels: list[str]) -> int:
    return sum(channel.endswith("position") for channel in channels)


def _are_moves(p: NDArray[np.float64], offsets: NDArray[np.float64]) -> bool:
    """Whether position channels (T, J, 3) below the root are moves from OFFSET, not in its place, as in Blender.

    No file says which it means. Bones hardly change their length, so the reading with the smaller change is right.
    """
    return bool(np.nanmedian(np.abs(p), 0).sum() < np.nanmedian(np.abs(p - offsets), 0).sum())


def _rotations(order: str, degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Channels in the order written, (T, 1 to 3) degrees -> (T, 3, 3): the first channel is the outermost rotation."""
    finite = np.isfinite(degrees).all(1)
    R = np.full((len(degrees), 3, 3), np.nan)
    if finite.any():
        R[finite] = Rotation.from_euler(order.upper(), degrees[finite], degrees=True).as_matrix()
    return R


def _frame_rate(seconds: float) -> float:
    """Frame times are written with six digits or fewer (0.041667): a whole rate within their rounding is meant."""
    fps = 1 / seconds
    return float(round(fps)) if round(fps) and abs(fps / round(fps) - 1) < 2e-4 else fps
