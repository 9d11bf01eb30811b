"""Native OSC: the whole pose in SMPL's own axes, one time-tagged bundle per person and frame (docs/protocols.md)."""

from __future__ import annotations

import numpy as np

from mocap.body.skeleton import JOINT_NAMES
from mocap.config import OSC_DEFAULT
from mocap.sinks.base import (
    LEAVE_AFTER_S,
    FiniteGuard,
    Presence,
    SafePose,
    Sink,
    capture_wall_time,
    finite_age_ms,
)
from mocap.sinks.udp import Destination, bundles, message
from mocap.types import MocapFrame


class OscSink(Sink):
    """Sends every person to one port.

    Args:
        host: Receiver's host name or address.
        port: Receiver's UDP port.
        leave_after_s: ``/mocap/{id}/leave`` comes this long after the person's last pose, in the frames' time.

    Raises:
        MocapError: The host does not resolve or the port is out of range.
    """

    def __init__(
        self, host: str = OSC_DEFAULT[0], port: int = OSC_DEFAULT[1], leave_after_s: float = LEAVE_AFTER_S
    ) -> None:
        self._destination = Destination(host, port, "osc")
        self._presence = Presence(leave_after_s)
        self._guard = FiniteGuard()
        self._closed = False

    @property
    def errors(self) -> int:
        return self._destination.errors

    @property
    def held(self) -> int:
        return self._guard.held

    def send(self, frame: MocapFrame) -> None:
        t_wall = capture_wall_time(frame)
        entered, left = self._presence.update(frame.t_capture, [pose.track_id for pose in frame.poses])
        head = [_frame_message(frame), *_leave_messages(left)]
        people = [_pose_messages(self._guard.clean(pose), pose.track_id in entered) for pose in frame.poses]
        self._forget(left)
        first, *others = people or [[]]
        for messages in [head + first, *others]:
            self._destination.send(bundles(messages, t_wall))

    def tick(self) -> None:
        """The leaves of those whose time is up."""
        left = self._presence.expire(self._presence.now())
        self._forget(left)
        self._destination.send(bundles(_leave_messages(left)))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._destination.send(bundles(_leave_messages(self._presence.clear())))
        self._destination.close()

    def __str__(self) -> str:
        return f"OSC {self._destination}"

    def _forget(self, left: list[int]) -> None:
        for track_id in left:
            self._guard.forget(track_id)


def _leave_messages(left: list[int]) -> list[bytes]:
    return [message(f"/mocap/{track_id}/leave", "") for track_id in left]


def _frame_message(frame: MocapFrame) -> bytes:
    return message("/mocap/frame", "ifi", frame.frame_index, finite_age_ms(frame), len(frame.poses))


def _pose_messages(pose: SafePose, enters: bool) -> list[bytes]:
    """One person's messages; a joint whose rotation was never finite is left out."""
    prefix = f"/mocap/{pose.track_id}"
    quats = pose.quats_xyzw.tolist()
    confidence = pose.confidence.tolist()
    known = np.isfinite(pose.quats_xyzw[:, 0])
    messages = [message(f"{prefix}/enter", "")] if enters else []
    if pose.root_is_known:
        messages.append(message(f"{prefix}/root", "fffffff", *pose.p_world_root.tolist(), *quats[0]))
    for joint in range(1, len(JOINT_NAMES)):  # the pelvis is the root
        if known[joint]:
            address = f"{prefix}/joint/{JOINT_NAMES[joint]}"
            messages.append(message(address, "fffff", *quats[joint], confidence[joint]))
    messages.append(message(f"{prefix}/shape", "f" * pose.betas.size, *pose.betas.tolist()))
    messages.append(message(f"{prefix}/contact", "ff", *pose.contact.tolist()))
    return messages
