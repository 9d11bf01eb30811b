"""Per-frame solutions to stable motion: root trajectory, floor and camera pitch, foot contact, smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mocap.body.skeleton import Skeleton, load_skeleton
from mocap.config import MotionConfig
from mocap.motion.ground import LEVEL_FROM_CAMERA, Ground
from mocap.motion.one_euro import stretch_of
from mocap.motion.person import GAP_S, PersonMotion
from mocap.types import BodyPose, Camera, Person, PoseEstimate

_FORGET_S = 2.0  # longer than the tracker remembers a lost person; ids are never reused


class Motion:
    """Places every person in one world and smooths them. Keeps a state per ``track_id``.

    The first person who is there calibrates the camera: pitch, height and the world's origin.
    """

    def __init__(self, config: MotionConfig, skeleton: Skeleton | None = None) -> None:
        self._skeleton = skeleton or load_skeleton()
        self._stretch = stretch_of(config.smoothing)
        self._persons: dict[int, PersonMotion] = {}
        self._ground = Ground()
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
            t: Capture time, s. Any rate, also uneven; after a gap of more than 0.5 s the filters start anew.
            estimates: Poses in camera axes; values that are not finite are held.
            persons: Landmarks of the same people, matched by ``track_id``. An estimate without one stays where it was.
            camera: Size and focal length.

        Returns:
            The poses in the world, in the order of ``estimates``, and the camera with its place in that world.
        """
        by_id = {person.track_id: person for person in persons}
        present = [self._person(estimate.track_id) for estimate in estimates]
        for state, estimate in zip(present, estimates, strict=True):
            state.place(t, estimate, by_id.get(estimate.track_id), camera, self._ground)
        self._update_ground(t, present)
        poses = tuple(state.pose(self._ground) for state in present)
        self._persons = {i: state for i, state in self._persons.items() if t - state.last_t <= _FORGET_S}
        return poses, self._placed(camera)

    def _person(self, track_id: int) -> PersonMotion:
        if track_id not in self._persons:
            self._persons[track_id] = PersonMotion(track_id, self._skeleton, self._stretch)
        return self._persons[track_id]

    def _update_ground(self, t: float, present: Sequence[PersonMotion]) -> None:
        dt = 0.0 if self._last_t is None else t - self._last_t
        self._last_t = t
        first = min(self._persons, default=None)
        sights = [state.sight() for state in present if state.track_id == first]
        self._ground.update(dt if 0 <= dt <= GAP_S else 0.0, sights[0] if sights else None)

    def _placed(self, camera: Camera) -> Camera:
        if self._ground.p_world_camera is None:
            return camera
        R_world_camera = self._ground.R_world_level @ LEVEL_FROM_CAMERA
        return replace(
            camera,
            R_world_camera=R_world_camera.astype(np.float32),
            p_world_camera=self._ground.p_world_camera.astype(np.float32),
        )
