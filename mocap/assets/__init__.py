"""What ships with the package: skeleton, landmark places, demo clips. All made by training/."""

from __future__ import annotations

from pathlib import Path


def asset_path(name: str) -> Path:
    """Path of a shipped asset."""
    return Path(__file__).parent / name
