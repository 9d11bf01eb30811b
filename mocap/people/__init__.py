"""Who is where: detector, landmarks, and ids that stay."""

from mocap.people.tracker import Tracker

__all__ = ["Tracker"]
