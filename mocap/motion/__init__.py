"""Per-frame solutions to stable motion: root trajectory, floor and camera pitch, foot contact, smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mocap.batch import join, split
from mocap.body.skeleton import Skeleton, load_skeleton
from mocap.clock import Clock
from mocap.config import MotionConfig
from mocap.motion.ground import LEVEL_FROM_CAMERA, Ground, Sight
from mocap.motion.one_euro import stretch_of
from mocap.motion.people import GAP_S, People, PeopleState, stranger
from mocap.types import BodyPose, Camera, Person, PoseEstimate


class Motion:
    """Places every person in one world and smooths them. Keeps a state per ``track_id``.

    The first person who is there calibrates the camera: pitch, height and the world's origin.

    Args:
        config: how much to smooth.
        skeleton: the shipped one when not given.
        forget_s: an id's state is dropped when it was not seen for longer, s. It has to outlast the tracker's memory.
        joint_share: of the time constants that the joints' filters get; small for poses that come smooth already, whose
            root follows sooner, too.
    """

    def __init__(
        self,
        config: MotionConfig,
        skeleton: Skeleton | None = None,
        forget_s: float = 2.0,
        joint_share: float = 1.0,
    ) -> None:
        stretch = stretch_of(config.smoothing)
        self._people = People(skeleton or load_skeleton(), stretch, joint_share)
        self._stranger = stranger()
        self._states: dict[int, PeopleState] = {}
        self._ground = Ground()
        self._forget_s = forget_s
        self._clock = Clock()
        self._last_t: float | None = None

    @property
    def calibrated(self) -> bool:
        """Whether the floor and the camera's pitch are known."""
        return self._ground.calibrated

    @property
    def pitch_deg(self) -> float:
        """Camera pitch in degrees, positive looks up; 0 until calibrated."""
        return float(np.degrees(self._ground.pitch))

    def update(
        self, t: float, estimates: Sequence[PoseEstimate], persons: Sequence[Person], camera: Camera
    ) -> tuple[tuple[BodyPose, ...], Camera]:
        """Place and smooth the people of one frame.

        Args:
            t: Capture time, s. Any rate, also uneven; after a gap of more than 0.5 s the filters start anew. Repeated
                time stamps count as 4 ms, jumps back as no time.
            estimates: Poses in camera axes; values that are not finite are held.
            persons: Landmarks of the same people, matched by ``track_id``. An estimate without one stays where it was.
            camera: Size and focal length.

        Returns:
            The poses in the world, in the order of ``estimates``, and the camera with its place in that world.
        """
        t_capture, t = t, self._clock(t)
        by_id = {person.track_id: person for person in persons}
        ids = [estimate.track_id for estimate in estimates]
        poses: tuple[BodyPose, ...] = ()
        if ids:
            state = join([self._states.get(track_id, self._stranger) for track_id in ids])
            seen = [by_id.get(track_id) for track_id in ids]
            state, placed = self._people.place(t, state, estimates, seen, camera, self._ground)
            first = min([*ids, *self._states])
            sight = placed.sight(ids.index(first), first, state.feet) if first in ids else None
            self._update_ground(t, sight)
            state, poses = self._people.poses(t_capture, ids, state, placed, self._ground)
            self._states.update(zip(ids, split(state, len(ids)), strict=True))
        else:
            self._update_ground(t, None)
        self._states = {i: state for i, state in self._states.items() if t - state.t[0] <= self._forget_s}
        return poses, self._placed(camera)

    def _update_ground(self, t: float, sight: Sight | None) -> None:
        dt = 0.0 if self._last_t is None else t - self._last_t
        self._last_t = t
        self._ground.update(dt if dt <= GAP_S else 0.0, sight)

    def _placed(self, camera: Camera) -> Camera:
        if self._ground.p_world_camera is None:
            return camera
        R_world_camera = self._ground.R_world_level @ LEVEL_FROM_CAMERA
        return replace(
            camera,
            R_world_camera=R_world_camera.astype(np.float32),
            p_world_camera=self._ground.p_world_camera.astype(np.float32),
            calibrated=self._ground.settled,
        )
