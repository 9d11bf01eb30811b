"""The published systems and ours on the same rendered people: errors, sizes and times, side by side.

    export MOCAP_CHECKPOINTS=out/checkpoints       (where the next command writes; Windows: set)
    mocap import-checkpoint out/tokenhmr_small/best.ckpt --system tokenhmr
    python -m training.compare_published --files tokenhmr=out/checkpoints/tokenhmr.safetensors ... \\
        --captures ours=out/capture_small/best.ckpt

Every system is asked for 24 joints from the pelvis in the axes of the picture's camera. People whom our network took
for somebody else are left out for all. Networks on BlazePose's see its maps (``training.make_maps``), as in training.
``mean pose`` is what one gets without looking at the picture.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mocap.body.torch_figure import Figure
from mocap.config import option
from mocap.errors import MocapError
from mocap.models import published
from mocap.models.network_file import read_body
from mocap.models.systems import known_system
from mocap.models.tflite_module import TfliteModule
from training.capture.predict import load_network
from training.capture.samples import inputs
from training.capture.shards import Shards, load_shards
from training.capture.truth import FLIP_YZ
from training.capture.validation import PLAIN
from training.datasets.images.rendered import Rendered
from training.datasets.images.sample import Sample
from training.metrics import mpjpe, pa_mpjpe
from training.options import run
from training.published.examples import Examples
from training.published.points import OpenPoints
from training.published.sets import Mixture
from training.published.tokenhmr_samples import framed
from training.published.validation import Validation

_ROUNDS, _WARM_UP = 30, 3
_RESAMPLED = 1000  # times, for the intervals
_JOINT_SET = "smpl24"


@dataclass(frozen=True)
class CompareConfig:
    """What to compare."""

    files: list[str] = option([], "imported systems: tokenhmr, int, vqhps, postometro", "SYSTEM=FILE")
    captures: list[str] = option([], "our networks: checkpoints of training.train_capture, or .npz", "NAME=FILE")
    test: str = option("out/pictures_test", "rendered people with pictures, whom nobody was trained on", "DIR")
    train: str = option("out/pictures", "those that the mean pose is of", "DIR")
    output: str = option("", "Markdown file; empty: the terminal", "FILE.md")
    threads: int = option(2, "of torch; times are taken with one", "N", low=1)


@dataclass(frozen=True)
class Row:
    """A system's line."""

    name: str
    joints: Tensor  # (N, 24, 3) m, camera axes of the picture, from the pelvis
    parameters: int
    crop_ms: float | None  # one crop by itself on one thread; None: nothing is computed


def compare(config: CompareConfig) -> str:
    """The table.

    Raises:
        MocapError: a file is missing or another, nothing is to be compared, or the people are clips.
    """
    if not config.files and not config.captures:
        raise MocapError("expected --files SYSTEM=FILE or --captures NAME=FILE, found neither; see --help")
    torch.set_num_threads(config.threads)
    people, shards = Rendered(Path(config.test), OpenPoints(_JOINT_SET)), load_shards(Path(config.test), Figure())
    if people.clips.shape[1] > 1:
        raise MocapError(f"{config.test}: expected single pictures, found clips of {people.clips.shape[1]} frames")
    known = {betas.tobytes() for betas in shards.truth.betas.numpy()}
    kept = torch.tensor([betas.tobytes() in known for betas in people.betas.numpy()])
    rows = [_mean_pose(Rendered(Path(config.train), OpenPoints(_JOINT_SET)), people, kept)]
    rows += [_published(*_named(spec), Path(config.test), kept) for spec in tqdm(config.files, unit="system")]
    rows += [_capture(*_named(spec), shards) for spec in config.captures]
    true = (people.p_camera_joint - people.p_camera_joint[:, :1])[kept]
    table = "\n".join([*_HEAD, *(_line(row, true) for row in rows)]) + f"\n\n{len(true):,} people.\n"
    if config.output:
        Path(config.output).write_text(table, encoding="utf-8")
    print(table)
    return table


_HEAD = (
    "| system | parameters | PA-MPJPE, mm | MPJPE, mm | one crop, ms |",
    "|---|---|---|---|---|",
)


def _named(spec: str) -> tuple[str, Path]:
    name, _, file = spec.partition("=")
    if not file:
        raise MocapError(f"expected NAME=FILE, found '{spec}'")
    return name, Path(file)


def _mean_pose(seen: Rendered, people: Rendered, kept: Tensor) -> Row:
    joints = ((seen.p_camera_joint - seen.p_camera_joint[:, :1]) @ seen.R_camera_view).mean(0)
    return Row("mean pose", (joints @ people.R_camera_view.mT)[kept], 0, None)


@torch.no_grad()
def _published(system: str, file: Path, test: Path, kept: Tensor) -> Row:
    """Joints of the mesh where the network gives one, else of its rotations and shape on the open body."""
    network, body, figure = published.load_network(system, file), read_body(file), Figure()
    known = known_system(system)
    regressor = None if body is None else torch.from_numpy(body.J_regressor)

    def find(picture: Tensor) -> Tensor:
        found = network(picture)
        if not isinstance(found, dict):
            assert regressor is not None
            joints: Tensor = regressor @ found.vertices
            return joints - joints[:, :1]
        R, betas = (found[name].flatten(0, -k) for name, k in (("R", 4), ("betas", 2)))
        return figure(R, betas)[0]

    side = known.side(network.config)
    take = (lambda picture: find(picture[:, None])) if system == "int" else find
    mapped = any(isinstance(module, TfliteModule) for module in network.modules())  # it has learned from maps
    people = Rendered(test, OpenPoints(_JOINT_SET), mapped)

    def frame(sample: Sample) -> Sample:
        return sample if mapped else framed(sample, known.margin, (known.aspect, 1.0))

    crops = Validation(people, Examples(Mixture([people]), _JOINT_SET, side), frame=frame)
    joints = crops.found(take) @ people.R_camera_view.mT
    one = torch.randn(1, 3, side, side)
    return Row(system, joints[kept], _parameters(network, lambda: take(one)), _time(lambda: take(one)))


@torch.no_grad()
def _capture(name: str, file: Path, shards: Shards) -> Row:
    network = load_network(file)
    given = inputs(shards.truth, shards.seen, PLAIN, 1, torch.Generator().manual_seed(0))
    parts = [
        network({key: value[first : first + 256] for key, value in given.items()})
        for first in range(0, len(shards), 256)
    ]
    R, betas = (torch.cat([part[key] for part in parts]) for key in ("R", "betas"))
    one = {key: value[:1] for key, value in given.items()}
    joints = Figure()(R, betas)[0] @ FLIP_YZ
    return Row(name, joints, _parameters(network, lambda: network(one)), _time(lambda: network(one)))


def _parameters(network: nn.Module, find: Callable[[], object]) -> int:
    """Numbers that take part when ``find`` runs, codebooks included: no encoders of tokenizers, nothing over time.

    BlazePose's landmark network does not count: the small networks look through it, and ours does beforehand.
    """
    shared = {part for module in network.modules() if isinstance(module, TfliteModule) for part in module.modules()}
    called: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: called.add(module)) for module in network.modules()]
    find()
    for hook in hooks:
        hook.remove()
    codebooks = sum(value.numel() for name, value in network.state_dict().items() if name.endswith("codebook"))
    return codebooks + sum(weight.numel() for module in called - shared for weight in module.parameters(recurse=False))


def _time(find: Callable[[], object]) -> float:
    """Median ms of one call on one thread."""
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    with torch.no_grad():
        for _ in range(_WARM_UP + _ROUNDS):
            start = time.perf_counter()
            find()
            times.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return 1e3 * float(np.median(times[_WARM_UP:]))


def _line(row: Row, true: Tensor) -> str:
    found, aim = row.joints.double().numpy(), true.double().numpy()
    errors = (
        f"{1e3 * each.mean():.1f} ± {1e3 * _deviation(each):.1f}" for each in (pa_mpjpe(found, aim), mpjpe(found, aim))
    )
    took = "–" if row.crop_ms is None else f"{row.crop_ms:.1f}"
    return f"| {row.name} | {row.parameters / 1e6:.2f} M | {' | '.join(errors)} | {took} |"


def _deviation(errors: np.ndarray) -> float:
    """Standard deviation of the mean, by resampling the people."""
    rows = np.random.default_rng(0).integers(len(errors), size=(_RESAMPLED, len(errors)))
    return float(errors[rows].mean(1).std())


def main() -> int:
    """Command line."""
    return run(CompareConfig, __doc__ or "", compare)


if __name__ == "__main__":
    sys.exit(main())
