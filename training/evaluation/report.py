"""The figures of a run as a Markdown page and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mocap.body.landmarks import LANDMARK_NAMES
from mocap.body.skeleton import JOINT_NAMES
from training.evaluation.measures import HIDDEN, SPEED, Figures, hidden_title, per_point, speed_title
from training.evaluation.runs import SetResult
from training.evaluation.targets import goal_rows, goals
from training.evaluation.watching import RAW, SMOOTHED
from training.metrics import mean_of


def _range(low: float, high: float) -> str:
    return f"{low:g}–{high:g}" if math.isfinite(high) else f"{low:g} and more"


# Title, name of the figure, decimals, factor.
ROWS: tuple[tuple[str, str, int, float], ...] = (
    ("PA-MPJPE, mm", "pa_mpjpe", 1, 1),
    ("MPJPE, root-aligned in camera axes, mm", "mpjpe", 1, 1),
    ("– across: \\|dx\\|, mm", "dx", 1, 1),
    ("– up and down: \\|dy\\|, mm", "dy", 1, 1),
    ("– depth: \\|dz\\|, mm", "dz", 1, 1),
    ("33 landmarks, PA-MPJPE, mm", "landmarks_pa", 1, 1),
    ("24 joints, PA-MPJPE, mm", "joints_pa", 1, 1),
    ("24 joints, MPJPE from the pelvis, mm", "joints_mpjpe", 1, 1),
    ("PVE, mm", "pve", 1, 1),
    ("12 limb joints, against their parents, °", "limbs_local_deg", 1, 1),
    ("12 limb joints, in the world, °", "limbs_global_deg", 1, 1),
    ("root heading, °", "heading_deg", 1, 1),
    ("acceleration error, m/s²", "acceleration_error", 1, 1),
    ("acceleration, m/s²", "acceleration", 1, 1),
    ("jitter (jerk), m/s³", "jitter", 0, 1),
    ("lag, frames", "lag_frames", 2, 1),
    ("– its standard error", "lag_spread", 2, 1),
    ("lag, ms", "lag_ms", 0, 1),
    ("foot skate, m/s", "foot_skate", 2, 1),
    ("frames with left and right exchanged, mended, %", "mended", 0, 100),
    *(
        (f"PA-MPJPE, {100 * low:.0f}–{100 * high:.0f} % of the points hidden, mm", hidden_title(low, high), 1, 1)
        for low, high in pairwise(HIDDEN)
    ),
    *(
        (f"PA-MPJPE, points that move at {_range(low, high)} m/s about the root, mm", speed_title(low), 1, 1)
        for low, high in pairwise(SPEED)
    ),
    ("frames with an answer, %", "answered", 0, 100),
)
RATIOS = (
    ("PA-MPJPE over smoothed MediaPipe's, mean over clips", "pa_mpjpe"),
    ("MPJPE over smoothed MediaPipe's, mean over clips", "mpjpe"),
    ("acceleration error over smoothed MediaPipe's, mean over clips", "acceleration_error"),
)
METHOD = f"""All columns of a table are means over the same frames: those in which every system sees the person.
Points are nose, shoulders, elbows, wrists, hips, knees and ankles, as far as the reference has them. Of systems that
give rotations they are BlazePose's points on the surface of the body that the rotations and the betas pose
(`mocap/body/landmarks.py`); "24 joints" are SMPL's, from the same forward kinematics. PVE: every 20th vertex of the
open body, pelvis on pelvis. Time: acceleration, jerk and lag are of root-aligned points; lag is the peak of the
correlation of velocities with the truth's. Foot skate: horizontal speed of toes that truly stand, the middle between
the hips where it truly is. Left and right count as exchanged where putting them right in what our network observed
brings the PA error down by more than 30 mm; mended: the system's own error grows when its sides are exchanged.
{RAW} and {SMOOTHED}: `solutions.pose`, complexity 1, on the same video. Shards hold no pictures: there "{RAW}" is what
our own network saw (the same network, tracked alike), and "{SMOOTHED}" that through MediaPipe's own One-Euro
filter, which gives its smoothed landmarks from its raw ones to 0.01 mm. All other systems are given what our own
tracker saw."""


@dataclass
class Report:
    """Everything that one run measured."""

    settings: dict[str, Any]
    sets: list[SetResult] = field(default_factory=list)
    ladder: dict[str, dict[str, Figures]] = field(default_factory=dict)
    crops: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    noise: dict[float, dict[str, Figures]] = field(default_factory=dict)
    pictures: list[tuple[str, Path]] = field(default_factory=list)  # caption, file


def markdown(report: Report, folder: Path) -> str:
    """The page; pictures are named relative to ``folder``."""
    lines = ["# Evaluation", "", f"`{report.settings['command']}`", "", *METHOD.splitlines(), ""]
    for result in report.sets:
        lines += [f"## {result.title}", "", result.note, "", *summary_table(result), ""]
        if len(result.parts) > 1 and len(result.parts) <= 24:
            lines += ["PA-MPJPE of each, mm:", "", *parts_table(result), ""]
    lines += _ladder_lines(report) + _crop_lines(report) + _noise_lines(report) + _goal_lines(report)
    for caption, path in report.pictures:
        lines += [f"![{caption}]({path.relative_to(folder)})", ""]
    return "\n".join(lines).rstrip() + "\n"


def write(report: Report, output: Path) -> None:
    """The page, and ``.json`` beside it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(markdown(report, output.parent), encoding="utf-8")
    text = json.dumps(_plain(as_json(report)), indent=1)
    output.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def summary_table(result: SetResult) -> list[str]:
    """All figures of a set: a row each, a column for each system. Rows without any figure are left out."""
    columns, whole = result.figures(), result.whole
    itself = {name: mean_of(values) for name, values in whole.truth.items() if values.ndim == 1}
    clips = "" if len(result.parts) == 1 else f", {len(result.parts)} clips"
    rows = []
    for title, name, decimals, factor in ROWS:
        values = [column.get(name, math.nan) * factor for column in columns.values()]
        if name == "mended":
            title += f" (of {int(next(iter(columns.values()))['flipped_frames'])})"
        if name in ("acceleration", "jitter", "foot_skate") and name in itself:
            title += f" (truth: {_text(itself[name], decimals)})"
        rows.append((title, [_text(value, decimals) for value in values]))
    if len(result.parts) > 1:
        for title, name in RATIOS:
            ratios = result.ratios(name)
            rows.append((title, [_text(ratios.get(column, math.nan), 2) for column in columns]))
    shown = [row for row in rows if set(row[1]) != {"–"}]
    return _table([f"{whole.frames:,} frames{clips}", *columns], shown)


def parts_table(result: SetResult) -> list[str]:
    """PA-MPJPE of each clip, and the ratio to smoothed MediaPipe's."""
    columns = list(result.whole.systems)
    rows = []
    for part, figures in result.by_part().items():
        values = [figures[name]["pa_mpjpe"] for name in columns]
        over = figures[SMOOTHED]["pa_mpjpe"] if SMOOTHED in figures else math.nan
        texts = [f"{_text(value, 1)} ({_text(value / over, 2)} ×)" for value in values]
        rows.append((f"{part}, {result.parts[part].frames} frames", texts))
    return _table(["", *columns], rows)


def as_json(report: Report) -> dict[str, Any]:
    """All figures, per point as well."""
    sets = {}
    for result in report.sets:
        whole = result.whole
        sets[result.title] = {
            "note": result.note,
            "frames": whole.frames,
            "truth": {name: mean_of(values) for name, values in whole.truth.items() if values.ndim == 1},
            "systems": result.figures(),
            "ratios": {name: result.ratios(name) for _, name in RATIOS},
            "points": {name: _named(per_point(samples)) for name, samples in whole.systems.items()},
            "clips": result.by_part() if len(result.parts) > 1 else {},
        }
    return {
        "settings": report.settings,
        "sets": sets,
        "ladder": report.ladder,
        "crops": report.crops,
        "noise": {f"{deviation:g}": row for deviation, row in report.noise.items()},
    }


def _named(errors: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    names = {len(LANDMARK_NAMES): LANDMARK_NAMES, len(JOINT_NAMES): JOINT_NAMES}
    return {
        kind: {name: e for name, e in zip(names[len(values)], values, strict=True) if math.isfinite(e)}
        for kind, values in errors.items()
    }


def _ladder_lines(report: Report) -> list[str]:
    if not report.ladder:
        return []
    columns = list(next(iter(report.ladder.values())))
    rows = [
        (rung, [f"{_text(figures[name]['pa_mpjpe'], 1)} / {_text(figures[name]['mpjpe'], 1)}" for name in columns])
        for rung, figures in report.ladder.items()
    ]
    text = "What each system would be worth if it were told the person's true limb lengths, the true points in the "
    return [
        "## Oracle ladder",
        "",
        f"{text}picture, or both: PA-MPJPE / MPJPE, mm.",
        "",
        *_table(["", *columns], rows),
        "",
    ]


def _crop_lines(report: Report) -> list[str]:
    crops = {name: row for name, row in report.crops.items() if row}
    if not crops:
        return []
    columns = list(next(iter(crops.values())))
    rows = [
        (
            f"{name} ({next(iter(row.values()))['found']:.0%} found)",
            [f"{_text(row[c]['pa_mpjpe'], 1)} ({row[c]['pa_growth']:+.1f})" for c in columns],
        )
        for name, row in crops.items()
    ]
    text = (
        "PA-MPJPE in mm of single frames, and by how much it grew. Evenly: so much of the width and the height of the "
        "square around the person is cut off, half at each end (our reading of TokenHMR's Table 2, whose growth is "
        "+6.5 and +23.3). From below: so much of the body's height."
    )
    return ["## Cropped pictures", "", text, "", *_table(["", *columns], rows), ""]


def _goal_lines(report: Report) -> list[str]:
    found = list(goals(report.sets, report.crops))
    named = dict.fromkeys(name for goal in found for name in goal.measured if name not in (RAW, SMOOTHED))
    if not found:
        return []
    text = "Floor / target / stretch, and what each system reaches. All points are those that the rotations give."
    return [
        "## Against what is wanted",
        "",
        text,
        "",
        *_table(["", "wanted", *named], goal_rows(found, list(named))),
        "",
    ]


def _noise_lines(report: Report) -> list[str]:
    if not report.noise:
        return []
    columns = list(next(iter(report.noise.values())))
    rows = [
        (f"{deviation:g}", [_text(row[name]["pa_mpjpe"], 1) for name in columns])
        for deviation, row in report.noise.items()
    ]
    text = "PA-MPJPE in mm with Gaussian noise of this deviation on the logits of the pose tokens."
    return ["## Noisy tokens", "", text, "", *_table(["deviation", *columns], rows), ""]


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    return list(_table_lines(head, rows))


def _table_lines(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for title, cells in rows:
        yield "| " + " | ".join([title, *cells]) + " |"


def _text(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else "–"


def _plain(value: Any) -> Any:
    """For JSON: NaN becomes null, figures keep five digits."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
