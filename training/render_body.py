"""Contact sheet of the open body: twelve poses from three sides, ``python -m training.render_body --out sheet.jpg``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mocap.body.model import Body, load_body
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, NUM_BETAS, NUM_JOINTS
from mocap.types import Camera
from training.anny_body import Float
from training.render import Scene

# Rotation vectors in degrees by joint, in SMPL's axes; "both" turns the right side as the left one's mirror image.
ARMS_DOWN = {"both_shoulder": (0, 0, -72)}
POSES: dict[str, dict[str, tuple[float, float, float]]] = {
    "T": {},
    "A": {"both_shoulder": (0, 0, -45)},
    "arms overhead": {"both_collar": (0, 0, 25), "both_shoulder": (0, 0, 65)},
    "deep squat": {
        "both_hip": (-115, 0, 20), "both_knee": (130, 0, 0), "both_ankle": (-25, 0, 0), "pelvis": (25, 0, 0),
        "both_shoulder": (0, -80, -10), "spine1": (10, 0, 0),
    },
    "lunge": {
        "left_hip": (-85, 0, 0), "left_knee": (88, 0, 0), "right_hip": (25, 0, 0), "right_knee": (60, 0, 0),
        "right_foot": (-45, 0, 0), "both_shoulder": (0, 0, -70), "both_elbow": (0, -40, 0),
    },
    "sit": {
        "both_hip": (-90, 0, 5), "both_knee": (90, 0, 0), "both_shoulder": (0, -25, -65), "both_elbow": (0, -75, 0),
    },
    "crossed arms": {
        "both_collar": (0, -12, 0), "both_shoulder": (20, -45, -60), "left_elbow": (0, -110, 30),
        "right_elbow": (0, 105, -45),
    },
    "forearms twisted": {"left_wrist": (90, 0, 0), "right_wrist": (-90, 0, 0), "both_shoulder": (0, 0, -30)},
    "head turned": {"neck": (0, 35, 0), "head": (0, 40, 10), "spine3": (0, 15, 0), **ARMS_DOWN},
    "toes bent": {"both_ankle": (45, 0, 0), "both_foot": (-55, 0, 0), **ARMS_DOWN},
    "lying": {
        "pelvis": (-90, 0, 0), "both_shoulder": (-10, 0, -50), "left_hip": (-50, 0, 0), "left_knee": (90, 0, 0),
        "both_elbow": (0, -50, 0), "both_wrist": (0, 0, -20),
    },
    "kick": {
        "left_hip": (-95, 0, 15), "left_knee": (10, 0, 0), "left_ankle": (30, 0, 0), "spine1": (-10, 0, 0),
        "both_shoulder": (0, -40, -30), "both_elbow": (0, -90, 0), "right_knee": (15, 0, 0),
        "left_hand": (0, 0, -70), "right_hand": (0, 0, 70),
    },
}  # fmt: skip
SKIN = np.array([0.80, 0.66, 0.56])


def pose_matrices(pose: dict[str, tuple[float, float, float]]) -> Float:
    """A pose of POSES -> rotations (24, 3, 3)."""
    rotation = np.zeros((NUM_JOINTS, 3))
    for name, degrees in pose.items():
        left = np.radians(degrees)
        if name.startswith("both"):
            rotation[JOINT[name.replace("both", "left")]] = left
            rotation[JOINT[name.replace("both", "right")]] = left * (1, -1, -1)
        else:
            rotation[JOINT[name]] = left
    return axis_angle_to_matrix(rotation)


class BodyRenderer:
    """Pictures of a body alone, from any side.

    Args:
        body: what is posed.
        size: pixels of a picture, which is square.
        width_m: what a picture is wide at the body's distance.
        colors: (V, 3) in [0, 1]; skin by default.
    """

    def __init__(self, body: Body, size: int, width_m: float = 2.3, colors: Float = SKIN) -> None:
        distance = 3.6
        camera = Camera(size, size, size * distance / width_m, p_world_camera=np.array([0.0, 0.9, distance - 0.6]))
        self.body, self.scene = body, Scene(camera)
        rest = body.smpl.v_template.cpu().numpy()
        self.surface = self.scene.add_mesh(body.faces.cpu().numpy(), rest, colors)

    def picture(self, R_parent_joint: Float, betas: Float, yaw: float, focus: str | None = None) -> NDArray[np.uint8]:
        """Rotations (24, 3, 3), shape (10,), turned by ``yaw`` degrees to the left; centred on the body or a joint."""
        R, b = torch.from_numpy(R_parent_joint).float(), torch.from_numpy(betas).float()
        vertices = self.body.vertices(R, torch.zeros(3), b).numpy()
        centre = 0.5 * (vertices.min(0) + vertices.max(0))
        if focus is not None:
            centre = self.body.joints(R, torch.zeros(3), b)[JOINT[focus]].numpy()
        turn = axis_angle_to_matrix(np.radians([0.0, yaw, 0.0]))
        self.surface.move((vertices - centre) @ turn.T + (0, 0.9, -0.6))
        return self.scene.picture()


def contact_sheet(body: Body, size: int = 300, yaws: tuple[float, ...] = (0, 65, 180), columns: int = 2) -> Image.Image:
    """All poses, each from all sides, with their names."""
    renderer, betas = BodyRenderer(body, size), np.zeros(NUM_BETAS)
    rows = -(-len(POSES) // columns)
    sheet = Image.new("RGB", (columns * len(yaws) * size, rows * size))
    draw = ImageDraw.Draw(sheet)
    for index, (name, pose) in enumerate(POSES.items()):
        row, column = divmod(index, columns)
        left = column * len(yaws) * size
        for side, yaw in enumerate(yaws):
            sheet.paste(
                Image.fromarray(renderer.picture(pose_matrices(pose), betas, yaw)), (left + side * size, row * size)
            )
        draw.text((left + 5, row * size + 4), name, fill=(20, 20, 20))
    return sheet


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--body", type=Path, default=None, help="a body in SMPL's format; the open body by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=300, help="pixels of one picture")
    options = parser.parse_args()
    contact_sheet(load_body(options.body), options.size).save(options.out, quality=80, optimize=True)


if __name__ == "__main__":
    main()
