"""VMC protocol, performer to marionette: a humanoid avatar in Unity's axes, one port per person (docs/protocols.md)."""

from __future__ import annotations

import logging
from math import isfinite

import numpy as np

from mocap.body.skeleton import JOINT, Skeleton, load_skeleton
from mocap.config import VMC_DEFAULT, VmcPreset
from mocap.errors import MocapError
from mocap.sinks.base import LEAVE_AFTER_S, FiniteGuard, Presence, SafePose, Sink
from mocap.sinks.presets import PRESETS
from mocap.sinks.udp import Destination, bundles, message
from mocap.types import Array, MocapFrame

log = logging.getLogger(__name__)

# SMPL's joints as Unity's HumanBodyBones. The hands (22, 23) have no bone there: Unity's "Hand" is the wrist.
# A model without the optional UpperChest drops that bone's bend; nothing else moves to other bones.
UNITY_BONES = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "UpperChest", "neck": "Neck", "head": "Head",
    "left_hip": "LeftUpperLeg", "left_knee": "LeftLowerLeg", "left_ankle": "LeftFoot", "left_foot": "LeftToes",
    "right_hip": "RightUpperLeg", "right_knee": "RightLowerLeg", "right_ankle": "RightFoot", "right_foot": "RightToes",
    "left_collar": "LeftShoulder", "left_shoulder": "LeftUpperArm", "left_elbow": "LeftLowerArm",
    "left_wrist": "LeftHand",
    "right_collar": "RightShoulder", "right_shoulder": "RightUpperArm", "right_elbow": "RightLowerArm",
    "right_wrist": "RightHand",
}  # fmt: skip

# A mirror in X turns SMPL's right-handed axes (left +X, up +Y, front +Z) into Unity's left-handed ones (left -X, up +Y,
# front +Z). It turns a rotation's axis the other way in y and z, and leaves w.
_MIRROR_P = np.array([-1, 1, 1], np.float32)
_MIRROR_Q = np.array([1, -1, -1, 1], np.float32)
_IDENTITY = (0.0, 0.0, 0.0, 1.0)


class VmcSink(Sink):
    """Sends the nth person to ``port + n``; the protocol has no person id.

    Who comes takes the lowest free port and keeps it; a port is free again ``leave_after_s`` after the last pose.

    Args:
        host: Receiver's host name or address.
        port: UDP port of the first person.
        preset: Receiver that the packets are arranged for.
        bundle: Send OSC bundles; false sends every message as a datagram of its own; None is as the preset says.
        max_people: Number of ports. Whoever finds none free is not sent, and this is warned of once.
        skeleton: Gives each bone's rest offset; None is the shipped one.
        leave_after_s: In the frames' time.

    Raises:
        MocapError: The host does not resolve, a port is out of range, or the preset is unknown.
    """

    def __init__(
        self,
        host: str = VMC_DEFAULT[0],
        port: int = VMC_DEFAULT[1],
        preset: VmcPreset = "default",
        bundle: bool | None = None,
        max_people: int = 1,
        skeleton: Skeleton | None = None,
        leave_after_s: float = LEAVE_AFTER_S,
    ) -> None:
        if preset not in PRESETS:
            raise MocapError(f"--vmc.preset: expected one of {', '.join(PRESETS)}, found {preset!r}")
        self._last_port = port + max_people - 1
        if self._last_port > 65535:
            raise MocapError(
                f"--vmc.port: {max_people} people need ports {port} to {self._last_port}, but 65535 is the last one"
            )
        self._preset = PRESETS[preset]
        self._bundle = self._preset.bundle if bundle is None else bundle
        self._skeleton = skeleton or load_skeleton()
        self._destinations = [Destination(host, port + slot, "vmc") for slot in range(max_people)]
        self._slots: dict[int, int] = {}  # track_id -> index into the destinations
        self._presence = Presence(leave_after_s)
        self._guard = FiniteGuard()
        self._t_start: float | None = None
        self._warned_full = False

    @property
    def errors(self) -> int:
        return sum(destination.errors for destination in self._destinations)

    @property
    def held(self) -> int:
        return self._guard.held

    def send(self, frame: MocapFrame) -> None:
        self._assign_slots(frame)
        messages = {
            self._slots[pose.track_id]: self._pose_messages(self._guard.clean(pose))
            for pose in frame.poses
            if pose.track_id in self._slots
        }
        self._send(self._elapsed_s(frame.t_capture), messages)

    def tick(self) -> None:
        """The sign of life, so that receivers do not take us for gone while the camera is."""
        self._free_slots(self._presence.expire(self._presence.now()))
        self._send(0.0 if self._t_start is None else self._elapsed_s(self._presence.now()), {})

    def close(self) -> None:
        for destination in self._destinations:
            destination.close()

    def __str__(self) -> str:
        more = f"-{self._last_port}" if len(self._destinations) > 1 else ""
        return f"VMC {self._destinations[0]}{more}"

    def _send(self, elapsed_s: float, messages: dict[int, list[bytes]]) -> None:
        """Each slot's messages. The first port always hears that we are alive, the others while somebody has them."""
        clock = [message("/VMC/Ext/OK", "i", 1), message("/VMC/Ext/T", "f", elapsed_s)]
        for slot in sorted({0, *self._slots.values()}):
            self._destinations[slot].send(self._datagrams(clock + messages.get(slot, [])))

    def _elapsed_s(self, t_capture: float) -> float:
        """Capture time since the first frame: small enough for float32 to keep the milliseconds."""
        if not isfinite(t_capture):
            return 0.0
        if self._t_start is None:
            self._t_start = t_capture
        return t_capture - self._t_start

    def _assign_slots(self, frame: MocapFrame) -> None:
        ids = [pose.track_id for pose in frame.poses]
        self._free_slots(self._presence.update(frame.t_capture, ids)[1])
        free = sorted(set(range(len(self._destinations))) - set(self._slots.values()))
        newcomers = [track_id for track_id in ids if track_id not in self._slots]
        self._slots.update(zip(newcomers, free, strict=False))
        if len(newcomers) > len(free) and not self._warned_full:
            self._warned_full = True
            log.warning(
                "VMC: more people than ports (%d): person %d is not sent", len(self._destinations), newcomers[-1]
            )

    def _free_slots(self, left: list[int]) -> None:
        for track_id in left:
            self._slots.pop(track_id, None)
            self._guard.forget(track_id)

    def _datagrams(self, messages: list[bytes]) -> list[bytes]:
        # Tagged "immediately": OSC lets a receiver discard a bundle whose time has passed, as any capture time has.
        return bundles(messages) if self._bundle else messages

    def _pose_messages(self, pose: SafePose) -> list[bytes]:
        """Root and bones; a bone whose rotation was never finite is left out."""
        p_root, p_bones = self._positions(pose)
        messages = [message("/VMC/Ext/Root/Pos", "sfffffff", "root", *(p_root * _MIRROR_P).tolist(), *_IDENTITY)]
        positions = (p_bones * _MIRROR_P).tolist()
        quats = pose.quats_xyzw * _MIRROR_Q
        known = np.isfinite(quats[:, 0])
        known[0] = pose.root_is_known
        for name, bone in UNITY_BONES.items():
            joint = JOINT[name]
            if known[joint]:
                args = (bone, *positions[joint], *quats[joint].tolist())
                messages.append(message("/VMC/Ext/Bone/Pos", "sfffffff", *args))
        return messages

    def _positions(self, pose: SafePose) -> tuple[Array, Array]:
        """Root (3,) and bones (24, 3) from their parents, m, in our axes: the hips move, all others rest.

        Receivers that apply positions (EVMC4U does by default) would collapse an avatar whose offsets are zero.
        """
        floor = pose.p_world_root * np.array([1, 0, 1], np.float32)
        p_root = floor if self._preset.travel == "root" and pose.root_is_known else np.zeros(3, np.float32)
        p_bones = self._skeleton.offsets(pose.betas)
        p_bones[0] = pose.p_world_root - p_root
        return p_root, p_bones
