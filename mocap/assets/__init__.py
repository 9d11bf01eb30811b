"""What ships with the package: the skeleton, the landmarks' places on the body, the demo clips. All made by training/."""

from __future__ import annotations

from pathlib import Path


def asset_path(name: str) -> Path:
    """Path of a shipped asset."""
    return Path(__file__).parent / name
