"""What every network sink shares: its interface, who is there, and numbers that are always finite."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from mocap.body.rotations import matrix_to_quat_xyzw
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.types import Array, BodyPose

log = logging.getLogger(__name__)

LEAVE_AFTER_S = 1.5  # PeopleConfig.lost_after_s: by then the tracker has given the id up for good


class Sink(ABC):
    """Takes every finished frame. Sending never raises: what the network refuses is counted and warned of once."""

    @abstractmethod
    def send(self, frame: object) -> None:
        """Send one frame, at once and in the caller's thread."""

    @abstractmethod
    def close(self) -> None:
        """Say goodbye and free the sockets; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
