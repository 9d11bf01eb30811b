"""The small commands: `mocap cameras` and `mocap export`."""

from __future__ import annotations

from pathlib import Path

from mocap.config import ExportFormat
from mocap.sources.cameras import list_cameras
from mocap.takes.bvh import Unit
from mocap.takes.export import export_take
from mocap.takes.reader import Take


def cameras() -> int:
    """Print every camera with its number and name. Returns 0, or 1 when there is none."""
    found = list_cameras()
    for camera in found:
        print(f"{camera.index:3d}  {camera.name}  ({camera.backend_name})")
    if not found:
        print("no camera found: plug one in, or try a clip: mocap live --camera clip.mp4")
        return 1
    print(f'\nnext: mocap live --camera {found[0].index}   or   mocap live --camera "{found[0].name}"')
    return 0


def export(take: str, formats: list[ExportFormat], out: str | None, bvh_unit: Unit) -> int:
    """Export a take beside itself or to a folder, and print the files. Returns 0."""
    folder = Path(out) if out else Path(take).parent
    with Take(Path(take)) as opened:
        for path in export_take(opened, formats, folder, bvh_unit=bvh_unit):
            print(path)
    return 0


def import_checkpoint(system: str, files: list[str], smpl: str | None) -> int:
    """Turn released files into what captures run, and print where it lies. Returns 0."""
    from mocap.models import published  # and torch with it

    path = published.import_checkpoint(system, [Path(file) for file in files], Path(smpl) if smpl else None)
    print(path)
    if published.load_body(path) is None:
        print("without --smpl, SMPL's licensed file, captured bodies have the mean shape")
    print(f"\nnext: mocap live --regressor {system}")
    return 0
