"""Look at motion data before training on it: ``python -m training.inspect_motion FOLDER_OR_FILE [--sheet sheet.jpg]``.

Prints clips, hours, splits, dropped frames and distinct poses (8 cm), and the range and mean speed of each joint.
With ``--axes N`` for a BVH file: where its joints' axes point in frame N, which is what a new skeleton map needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.errors import MocapError
from training.datasets.bvh import read_bvh
from training.datasets.kinematics import remove_heading
from training.datasets.motion import NUM_BODY_JOINTS, Motion
from training.datasets.read import read_motion
from training.datasets.statistics import clip_table, joint_table


def contact_sheet(
    motions: Sequence[Motion], count: int = 40, size: int = 230, columns: int = 8, seed: int = 0
) -> Image.Image:
    """Random frames, clips weighted by their length, on the mean open body: from the front, heading removed."""
    from mocap.body.model import load_body
    from training.render_body import BodyRenderer

    rng = np.random.default_rng(seed)
    lengths = np.array([motion.num_frames for motion in motions])
    renderer = BodyRenderer(load_body(), size, width_m=2.1)
    sheet = Image.new("RGB", (columns * size, -(-count // columns) * size))
    draw = ImageDraw.Draw(sheet)
    for index, clip in enumerate(rng.choice(len(motions), count, p=lengths / lengths.sum())):
        motion, frame = motions[clip], int(rng.integers(lengths[clip]))
        R = np.tile(np.eye(3, dtype=np.float32), (NUM_JOINTS, 1, 1))
        R[:NUM_BODY_JOINTS] = remove_heading(motion.R_parent_joint[frame])
        corner = index % columns * size, index // columns * size
        sheet.paste(Image.fromarray(renderer.picture(R.astype(np.float64), np.zeros(NUM_BETAS), yaw=25)), corner)
        draw.text((corner[0] + 4, corner[1] + 3), f"{motion.source} {motion.name[:28]}", fill=(20, 20, 20))
        draw.text((corner[0] + 4, corner[1] + 14), f"frame {frame}", fill=(90, 90, 90))
    return sheet


def axes_table(path: Path, frame: int) -> str:
    """World directions of each joint's axes in one frame of a BVH file, as text."""
    bvh = read_bvh(path)
    if not 0 <= frame < bvh.num_frames:
        raise MocapError(f"{path}: expected a frame of 0 to {bvh.num_frames - 1}, found {frame}")
    lines = [f"{'joint':28}{'x axis':>22}{'y axis':>22}{'z axis':>22}"]
    for name, R in zip(bvh.names, bvh.global_rotations()[frame], strict=True):
        lines.append(f"{name:28}" + "".join(f"    {x:5.2f} {y:5.2f} {z:5.2f} " for x, y, z in R.T))
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a motion file, or a folder of them")
    parser.add_argument("--sheet", type=Path, help="draw 40 random frames into this picture")
    parser.add_argument("--seed", type=int, default=0, help="of the frames that are drawn")
    parser.add_argument("--axes", type=int, metavar="N", help="of a BVH file: print the joints' axes in frame N only")
    options = parser.parse_args()
    try:
        if options.axes is not None:
            print(axes_table(options.path, options.axes))
            return
        motions = read_motion(options.path)
    except MocapError as error:
        sys.exit(f"error: {error}")
    print(clip_table(motions), joint_table(motions), sep="\n\n")
    if options.sheet:
        contact_sheet(motions, seed=options.seed).save(options.sheet, quality=80, optimize=True)


if __name__ == "__main__":
    main()
