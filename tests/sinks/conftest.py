from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from mocap.body.skeleton import NUM_JOINTS, PARENTS, Skeleton
from mocap.types import BodyPose, Camera, MocapFrame

# A plain figure in SMPL's T-pose: each joint from its parent, m (left is +X, front is +Z).
REST_OFFSETS = [
    (0, 0.95, 0), (0.07, -0.09, 0), (-0.07, -0.09, 0), (0, 0.11, -0.02), (0.03, -0.38, 0), (-0.03, -0.38, 0),
    (0, 0.13, 0.01), (0, -0.40, -0.03), (0, -0.40, -0.03), (0, 0.05, 0.02), (0.03, -0.06, 0.12), (-0.03, -0.06, 0.12),
    (0, 0.21, -0.03), (0.08, 0.11, -0.02), (-0.08, 0.11, -0.02), (0, 0.09, 0.05), (0.09, 0.03, 0), (-0.09, 0.03, 0),
    (0.26, 0, 0), (-0.26, 0, 0), (0.25, 0, 0), (-0.25, 0, 0), (0.08, 0, 0), (-0.08, 0, 0),
]  # fmt: skip


@pytest.fixture(scope="session")
def skeleton() -> Skeleton:
    joints = np.array(REST_OFFSETS, np.float32)
    for joint in range(1, NUM_JOINTS):
        joints[joint] += joints[PARENTS[joint]]
    directions = np.random.default_rng(0).normal(0, 0.01, (NUM_JOINTS, 3, 10)).astype(np.float32)
    return Skeleton(joints, directions)


MakePose = Callable[..., BodyPose]


@pytest.fixture
def make_pose() -> MakePose:
    """A standing T-pose at the origin; keyword arguments replace fields."""

    def make(track_id: int = 0, **fields: object) -> BodyPose:
        values: dict[str, object] = {
            "t_capture": 0.0,
            "R_parent_joint": np.tile(np.eye(3, dtype=np.float32), (NUM_JOINTS, 1, 1)),
            "p_world_root": np.array([0.0, 0.95, 0.0], np.float32),
            "betas": np.zeros(10, np.float32),
            "p_world_joint": np.zeros((NUM_JOINTS, 3), np.float32),
            "confidence": np.full(NUM_JOINTS, 0.75, np.float32),
            "contact": np.array([1.0, 0.0], np.float32),
        }
        return BodyPose(track_id=track_id, **{**values, **fields})  # type: ignore[arg-type]

    return make


def make_frame(*poses: BodyPose, index: int = 0, t: float = 0.0, age_ms: float = 25.0) -> MocapFrame:
    return MocapFrame(index, t, Camera(1280, 720, 1000.0), (), poses, {}, age_ms)


@dataclass
class Wall:
    """The wall clock that sinks go by while no frame comes."""

    t: float = 5000.0


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    clock = Wall()
    monkeypatch.setattr("mocap.sinks.base.time.perf_counter", lambda: clock.t)
    return clock


class Receiver:
    """A bare UDP socket on a free port of this machine."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]

    def datagrams(self) -> list[bytes]:
        """Everything that has come; loopback delivers before ``send`` returns."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self._socket.recv(65536))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def adjacent_receivers(count: int) -> list[Receiver]:
    """Receivers on consecutive free ports."""
    for _ in range(50):
        found = [Receiver()]
        try:
            while len(found) < count:
                found.append(Receiver(found[0].port + len(found)))
        except OSError:
            for receiver in found:
                receiver.close()
        else:
            return found
    raise RuntimeError(f"no {count} consecutive free ports")
