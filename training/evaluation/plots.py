"""Pictures of a run: error of each point, depth of a wrist and error over time, occlusion maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mocap.body.landmarks import LANDMARK_NAMES
from training.evaluation.measures import measure, per_point
from training.evaluation.occlusion import Shot
from training.evaluation.runs import Outcome, SetResult
from training.evaluation.systems import KINEMATIC, TITLES
from training.evaluation.track import Array
from training.evaluation.truth import SHOULDERS
from training.evaluation.watching import RAW, SMOOTHED

COLORS = {
    RAW: "#9a9a9a", SMOOTHED: "#4d4d4d", KINEMATIC: "#1f77b4", TITLES["frame"]: "#f0b27a", TITLES["causal"]: "#d95f02",
    TITLES["lookahead"]: "#7b3294", TITLES["full"]: "#1b9e77",
}  # fmt: skip
_WRISTS = {15: "left wrist", 16: "right wrist"}


def save_all(results: Sequence[SetResult], output: Path) -> list[tuple[str, Path]]:
    """Every picture of a run, beside ``output``: captions and files."""
    made = [("error of each point", points_chart(results), "points")]
    examples = [(result.title, result.example) for result in results if result.example is not None]
    if examples:
        made.append(("depth of a wrist and error over time", time_chart(examples), "time"))
    files = []
    for caption, figure, name in made:
        path = output.with_name(f"{output.stem}_{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100)
        plt.close(figure)
        files.append((caption, path))
    return files


def points_chart(results: Sequence[SetResult]) -> Figure:
    """Bars of the mean PA error of each point, a panel for each set, a colour for each system."""
    wide = min(len(results), 2)
    tall = -(-len(results) // wide)
    high = 3.8 + 0.4 * max(len(result.whole.systems) for result in results)
    figure, axes = plt.subplots(
        tall, wide, figsize=(5.2 * wide + 0.6, high * tall + 0.6), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(results) :]:
        axis.set_visible(False)
    for axis, result in zip(axes.flat, results, strict=False):
        _bars(axis, result)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return figure


def _bars(axis: Axes, result: SetResult) -> None:
    systems = {name: per_point(samples)["points_pa"] for name, samples in result.whole.systems.items()}
    shown = [index for index in range(33) if any(np.isfinite(errors[index]) for errors in systems.values())]
    height = 0.8 / len(systems)
    for row, (name, errors) in enumerate(systems.items()):
        places = np.arange(len(shown)) + (row - 0.5 * (len(systems) - 1)) * height
        axis.barh(places, [errors[index] for index in shown], height, color=COLORS.get(name), label=name)
    axis.set_yticks(np.arange(len(shown)), [LANDMARK_NAMES[index].replace("_", " ") for index in shown])
    axis.invert_yaxis()
    axis.set_xlabel("mean error after alignment, mm")
    axis.set_title(result.title, fontsize=11)
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def time_chart(examples: Sequence[tuple[str, Outcome]]) -> Figure:
    """Of one clip of each set: the wrist that moves most in depth, and the error of each frame."""
    figure, axes = plt.subplots(
        len(examples), 2, figsize=(13, 3.1 * len(examples) + 0.6), squeeze=False, layout="constrained", sharex="row"
    )
    for (left, right), (title, outcome) in zip(axes, examples, strict=True):
        _wrist(left, title, outcome)
        _errors(right, outcome)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    return figure


def _wrist(axis: Axes, title: str, outcome: Outcome) -> None:
    truth, t = outcome.clip.truth, outcome.clip.track.t
    known = np.where(truth.scored, 1.0, np.nan)
    wrist = max(_WRISTS, key=lambda index: _spread(_depth(truth.points, truth.root, index) * known))
    axis.plot(t, _depth(truth.points, truth.root, wrist) * known, "k.-", ms=3, lw=2, label="truth", zorder=10)
    for name, answer in outcome.answers.items():
        depth = _depth(answer.landmarks(), truth.root, wrist) * known
        axis.plot(t, depth, lw=1.2, color=COLORS.get(name), label=name)
    root = "shoulders" if truth.root == SHOULDERS else "hips"
    axis.set_ylabel(f"{_WRISTS[wrist]}: depth\nfrom the {root}, m")
    axis.set_title(f"{title}: {outcome.clip.name}", fontsize=10, loc="left")
    _tidy(axis)


def _errors(axis: Axes, outcome: Outcome) -> None:
    measured = measure(outcome.clip.truth, outcome.answers)
    for name, samples in measured.systems.items():
        axis.plot(outcome.clip.track.t, samples["pa_mpjpe"], lw=1.2, color=COLORS.get(name), label=name)
    axis.set_ylabel("PA-MPJPE, mm")
    axis.set_ylim(bottom=0)
    _tidy(axis)


def _tidy(axis: Axes) -> None:
    axis.set_xlabel("s")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _depth(points: Array, root: tuple[int, int], index: int) -> Array:
    """(T,) m."""
    return np.asarray(points[:, index, 2] - points[:, list(root), 2].mean(1))


def _spread(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.std() * len(known)) if len(known) > 3 else 0.0


def occlusion_figure(shot: Shot, centers: Array, maps: dict[str, Array]) -> Figure:
    """The picture, and over it for each system how wrong it is when a grey square hides that place."""
    figure, axes = plt.subplots(
        1, len(maps) + 1, figsize=(3.4 * (len(maps) + 1) + 0.8, 4.2), layout="constrained", squeeze=False
    )
    highest = max((float(np.nanmax(grid)) for grid in maps.values() if np.isfinite(grid).any()), default=1.0)
    step = centers[0, 1, 0] - centers[0, 0, 0]
    extent = (centers[0, 0, 0] - step / 2, centers[0, -1, 0] + step / 2,
              centers[-1, 0, 1] + step / 2, centers[0, 0, 1] - step / 2)  # fmt: skip
    drawn = None
    for axis, (name, grid) in zip(axes[0], [("picture", None), *maps.items()], strict=True):
        axis.imshow(shot.picture)
        if grid is not None:
            drawn = axis.imshow(grid, extent=extent, cmap="inferno", vmin=0, vmax=highest, alpha=0.6)
            name = f"{name}\nmean {np.nanmean(grid):.0f} mm, worst {np.nanmax(grid):.0f} mm"
        axis.set_xlim(max(extent[0], 0), min(extent[1], shot.picture.shape[1]))
        axis.set_ylim(min(extent[2], shot.picture.shape[0]), max(extent[3], 0))
        axis.set_title(name, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    if drawn is not None:
        figure.colorbar(drawn, ax=axes[0].tolist(), shrink=0.8, label="MPJPE, mm")
    return figure
