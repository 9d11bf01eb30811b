"""Pictures of a trained pose tokenizer for docs/: reconstructions, error per joint, a map of poses, random tokens.

    python -m training.plot_tokenizer mocap/assets/tokenizer_live.npz --corpus out/corpus --out docs

Writes tokenizer_reconstruction.jpg, tokenizer_joints.png, tokenizer_map.png and tokenizer_random.jpg.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from mocap.body.skeleton import JOINT_NAMES, NUM_BETAS
from mocap.body.torch_kinematics import with_hands
from mocap.errors import MocapError
from mocap.models.tokenizer import PoseTokenizer, load_tokenizer
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import BATCH, Meter, held_out, inside_limits, load_run, random_poses
from training.render_body import SKIN, BodyRenderer

SETS = {"test": "held-out subjects", "ood": "held-out source"}
DECODED = np.array([0.42, 0.60, 0.78])  # colour of what came out of the tokenizer
YAWS = (-30.0, 60.0)  # degrees, the sides from which every body is shown
FIRST_MOVING = 4  # hips and spine1 sit on the pelvis, which is fixed: they have no error
COLORS = {"real": "#777777", "reconstructed": "#1f77b4", "random tokens": "#d95f02"}


@torch.no_grad()
def reconstruct(model: PoseTokenizer, poses: Tensor) -> Tensor:
    """Poses (N, 21, 3, 3) through tokens and back."""
    return torch.cat([model.decode_tokens(model.encode(R)) for R in poses.split(BATCH)])


def joint_errors(meter: Meter, decoded: Tensor, poses: Tensor) -> NDArray[np.float64]:
    """(N, 23) mm of SMPL's joints 1 to 23."""
    pairs = zip(decoded.split(BATCH), poses.split(BATCH), strict=True)
    return torch.cat([meter.mpjpe(R, R_true) for R, R_true in pairs]).double().numpy()


def spread(errors: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Rows from the least to the largest error (N,), evenly spread over the ranks: the first best, the last worst."""
    ranks = np.linspace(0, len(errors) - 1, min(count, len(errors))).round().astype(int)
    return np.argsort(errors, kind="stable")[ranks]


def reconstruction_sheet(meter: Meter, poses: Tensor, decoded: Tensor, count: int, size: int) -> Image.Image:
    """Truth beside reconstruction from two sides, from the best to the worst of ``poses``, with the error."""
    errors = joint_errors(meter, decoded, poses).mean(1)
    rows = spread(errors, count)
    truth = body_pictures(meter, poses[rows], size, SKIN)
    ours = body_pictures(meter, decoded[rows], size, DECODED)
    pictures = [[*pair] for one, other in zip(truth, ours, strict=True) for pair in zip(one, other, strict=True)]
    cells = [pictures[2 * i] + pictures[2 * i + 1] for i in range(len(rows))]
    return tiles(cells, [f"{errors[row]:.1f} mm" for row in rows], columns=3)


def random_sheet(meter: Meter, poses: Tensor, size: int) -> Image.Image:
    """Poses of random tokens from two sides, with the share of their joints that are inside the limits."""
    shares = [f"{inside_limits(R[None]).mean():.0%} inside limits" for R in poses]
    return tiles(body_pictures(meter, poses, size, DECODED), shares, columns=6)


def body_pictures(meter: Meter, poses: Tensor, size: int, color: NDArray[np.float64]) -> list[list[NDArray[np.uint8]]]:
    """Each pose (N, 21, 3, 3) from all sides, the pelvis unturned."""
    still = torch.eye(3).expand(len(poses), 1, 3, 3)
    whole = with_hands(torch.cat([still, poses], 1)).double().numpy()
    renderer = BodyRenderer(meter.body, size, colors=color)
    return [[renderer.picture(R, np.zeros(NUM_BETAS), yaw) for yaw in YAWS] for R in whole]


def tiles(cells: Sequence[Sequence[NDArray[np.uint8]]], labels: Sequence[str], columns: int) -> Image.Image:
    """Cells of pictures side by side, row by row, a thin line around each cell."""
    height, width = cells[0][0].shape[0] + 2, len(cells[0]) * cells[0][0].shape[1] + 2
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for index, (cell, label) in enumerate(zip(cells, labels, strict=True)):
        left, top = index % columns * width + 1, index // columns * height + 1
        sheet.paste(Image.fromarray(np.concatenate(list(cell), 1)), (left, top))
        draw.text((left + 5, top + 4), label, fill=(20, 20, 20))
    return sheet


def joint_chart(per_joint: dict[str, NDArray[np.float64]]) -> Figure:
    """Bars of the mean error of each joint, one colour per set, and the mean over joints as in the table."""
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    names = [name.replace("_", " ") for name in JOINT_NAMES[FIRST_MOVING:]]
    height = 0.8 / len(per_joint)
    for index, (label, errors) in enumerate(per_joint.items()):
        places = np.arange(len(names)) + (index - 0.5 * (len(per_joint) - 1)) * height
        mean = f"{label}: MPJPE {errors.mean():.1f} mm"
        axes.barh(places, errors[FIRST_MOVING - 1 :], height, label=mean)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("mean error of the joint, mm (pelvis fixed)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    return figure


def pose_map(meter: Meter, poses: dict[str, Tensor], seed: int = 0) -> Figure:
    """t-SNE of the joint positions of poses {label: (N, 21, 3, 3)}: alike poses lie side by side in the picture."""
    from sklearn.manifold import TSNE

    joints = [meter.joints(R)[:, FIRST_MOVING:].flatten(1).numpy() for R in poses.values()]
    count = sum(len(part) for part in joints)
    embedding = TSNE(perplexity=min(30.0, (count - 1) / 3), init="pca", random_state=seed)
    places = embedding.fit_transform(np.concatenate(joints).astype(np.float64))
    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    parts = np.split(places, np.cumsum([len(part) for part in joints])[:-1])
    for label, part in zip(poses, parts, strict=True):
        hollow = label == "real"  # a ring around its reconstruction
        axes.scatter(
            part[:, 0], part[:, 1], s=30 if hollow else 7, label=label, linewidths=0.7,
            facecolors="none" if hollow else COLORS.get(label), edgecolors=COLORS.get(label) if hollow else "none",
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend()
    return figure


def load(path: Path) -> PoseTokenizer:
    """An asset (.npz) or the folder of a run.

    Raises:
        MocapError: it is neither.
    """
    if path.suffix == ".npz":
        return load_tokenizer(path)
    if not (path / "run.json").is_file():
        raise MocapError(
            f"{path}: expected a tokenizer (.npz) or a run's folder, found neither; train one: "
            "python -m training.train_tokenizer"
        )
    return load_run(path)


def plot(model: PoseTokenizer, corpus: Corpus, out: Path, poses: int, bodies: int, size: int) -> None:
    """All pictures into a folder.

    Args:
        poses: Held-out poses that errors are measured on; a quarter of them goes into the map.
        bodies: Poses of a contact sheet.
        size: Pixels of one body.
    """
    out.mkdir(parents=True, exist_ok=True)
    meter = Meter()
    real = {label: held_out(corpus, split, poses) for split, label in SETS.items()}
    decoded = {label: reconstruct(model, R) for label, R in real.items()}
    chart = joint_chart({label: joint_errors(meter, decoded[label], R).mean(0) for label, R in real.items()})
    chart.savefig(out / "tokenizer_joints.png", dpi=110)

    test, drawn = SETS["test"], random_poses(model, max(bodies, poses // 4))
    some = slice(None, None, 4)
    groups = dict(zip(COLORS, (real[test][some], decoded[test][some], drawn[: poses // 4]), strict=True))
    pose_map(meter, groups).savefig(out / "tokenizer_map.png", dpi=110)

    sheet = reconstruction_sheet(meter, real[test], decoded[test], bodies, size)
    sheet.save(out / "tokenizer_reconstruction.jpg", quality=80, optimize=True)
    random_sheet(meter, drawn[:bodies], size).save(out / "tokenizer_random.jpg", quality=80, optimize=True)
    plt.close("all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.plot_tokenizer", description=__doc__.split("\n")[0])
    parser.add_argument("tokenizer", type=Path, help="an asset (.npz), or a run's folder")
    parser.add_argument("--corpus", type=Path, default=Path("out/corpus"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--poses", type=int, default=3000, help="held-out poses that errors are measured on")
    parser.add_argument("--bodies", type=int, default=18, help="poses of a contact sheet")
    parser.add_argument("--size", type=int, default=130, help="pixels of one body")
    options = parser.parse_args(arguments)
    try:
        model = load(options.tokenizer)
        plot(model, Corpus.open(options.corpus), options.out, options.poses, options.bodies, options.size)
    except MocapError as error:
        parser.exit(1, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
