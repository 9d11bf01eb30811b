"""Pictures of fitted recordings: the body with the recorded markers, each frame from two sides.

    python -m training.render_markers out/markers/anna/walk.npz out/markers/anna/sit.npz@2.5 --out sheet.jpg

``@2.5`` is the time in seconds, the middle by default.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import vtk
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from vtk.util.numpy_support import vtk_to_numpy

from mocap.body.model import Body, load_body
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.torch_kinematics import with_hands
from mocap.errors import MocapError
from mocap.types import Camera
from training.datasets.fitted import Recording, load_recording
from training.render import Scene

Float = NDArray[np.float64]

_SKIN, _RED = np.array([0.80, 0.66, 0.56]), np.array([0.9, 0.1, 0.1])
_AWAY = 50.0  # m: where markers go that were not seen
_BALL = 0.013  # m
_DISTANCE, _WIDTH = 3.6, 2.1  # m, of the camera, and what it sees there


class MarkerRenderer:
    """Pictures of one body at a time with its markers.

    Args:
        body: the open body.
        size: pixels of a picture, which is square.
        num_markers: at most.
    """

    def __init__(self, body: Body, size: int, num_markers: int) -> None:
        camera = Camera(size, size, size * _DISTANCE / _WIDTH, p_world_camera=np.array([0.0, 0.0, _DISTANCE]))
        self.body, self.scene, self.num_markers = body, Scene(camera), num_markers
        self.skin = self.scene.add_mesh(body.faces.numpy(), body.smpl.v_template.numpy(), _SKIN)
        self.ball, faces = _ball()
        many = np.concatenate([faces + index * len(self.ball) for index in range(num_markers)])
        self.balls = self.scene.add_mesh(many, np.tile(self.ball, (num_markers, 1)), _RED)

    def picture(self, recording: Recording, frame: int, yaw: float) -> NDArray[np.uint8]:
        """A frame of a recording, the body turned to face ``yaw`` degrees to the camera's right."""
        R = torch.from_numpy(recording.R[frame]).float()
        root, betas = (torch.from_numpy(x).float() for x in (recording.root[frame], recording.betas))
        vertices = self.body.vertices(with_hands(R), root, betas).numpy()
        left = recording.R[frame, 0, :, 0]
        turn = axis_angle_to_matrix(np.array([0.0, np.radians(yaw) + np.arctan2(left[2], left[0]), 0.0]))
        centre = 0.5 * (vertices.min(0) + vertices.max(0))
        points = np.full((self.num_markers, 3), _AWAY)
        seen = recording.markers.points[frame]
        points[: len(seen)] = np.where(np.isnan(seen), _AWAY, (seen - centre) @ turn.T)
        self.skin.move((vertices - centre) @ turn.T)
        self.balls.move((points[:, None] + self.ball).reshape(-1, 3))
        return self.scene.picture()


def _ball() -> tuple[Float, NDArray[np.int64]]:
    source = vtk.vtkSphereSource()
    source.SetRadius(_BALL)
    source.Update()
    surface = source.GetOutput()
    faces = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64), faces.astype(np.int64)


def contact_sheet(
    chosen: Sequence[tuple[Recording, int]], size: int, yaws: Sequence[float], columns: int
) -> Image.Image:
    """Frames of recordings, each from all sides, with names, times and median residuals."""
    renderer = MarkerRenderer(load_body(), size, max(len(recording.markers.labels) for recording, _ in chosen))
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (columns * len(yaws) * size, rows * size))
    draw = ImageDraw.Draw(sheet)
    for index, (recording, frame) in enumerate(chosen):
        top, first = index // columns * size, index % columns * len(yaws)
        for side, yaw in enumerate(yaws):
            sheet.paste(Image.fromarray(renderer.picture(recording, frame, yaw)), ((first + side) * size, top))
        residual = 1000 * np.nanmedian(recording.residual[frame])
        text = f"{recording.markers.name}, {frame / recording.markers.fps:.1f} s, {residual:.0f} mm"
        draw.text((first * size + 5, top + 4), text, fill=(20, 20, 20))
    return sheet


def choose(text: str) -> tuple[Recording, int]:
    """``FILE`` or ``FILE@SECONDS``."""
    name, _, seconds = text.partition("@")
    if not Path(name).is_file():
        raise MocapError(f"expected a fitted recording, found no file {name}. Run: python -m training.fit_markers")
    recording = load_recording(Path(name))
    last = len(recording.R) - 1
    return recording, min(last, round(float(seconds) * recording.markers.fps)) if seconds else last // 2


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", metavar="FILE[@SECONDS]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=300, help="pixels of one picture (300)")
    parser.add_argument("--columns", type=int, default=3, help="recordings side by side (3)")
    options = parser.parse_args()
    chosen = [choose(text) for text in options.recordings]
    contact_sheet(chosen, options.size, (-35.0, 145.0), options.columns).save(options.out, quality=82, optimize=True)


if __name__ == "__main__":
    main()
