"""What the learned capture has to reach, beside what a run measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.evaluation.measures import Figures
from training.evaluation.runs import SetResult

REAL, FRAMES, CLIPS = "Real recordings", "Synthetic frames", "Synthetic clips"
Crops = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Goal:
    """A figure with what it should be: floor, target, stretch."""

    title: str
    wanted: tuple[float, float, float]
    measured: Figures  # by system
    decimals: int = 2


def goals(sets: Sequence[SetResult], crops: Crops) -> Iterator[Goal]:
    """Those that the run has figures for."""
    for result in sets:
        figures = result.figures()

        def of(name: str, factor: float, figures: dict[str, Figures] = figures) -> Figures:
            return {system: factor * row.get(name, math.nan) for system, row in figures.items()}

        over = f"{result.title}: %s over smoothed MediaPipe's"
        if result.title == REAL:
            yield Goal(over % "PA-MPJPE", (0.90, 0.80, 0.65), result.ratios("pa_mpjpe"))
            yield Goal(over % "MPJPE", (0.90, 0.75, 0.60), result.ratios("mpjpe"))
        if result.title in (FRAMES, CLIPS):
            yield Goal(f"{result.title}: 24 joints, PA-MPJPE, mm", (70, 50, 40), of("joints_pa", 1), 1)
        if result.title in (REAL, CLIPS):
            yield Goal(over % "acceleration error", (0.60, 0.35, 0.20), result.ratios("acceleration_error"))
            yield Goal(f"{result.title}: lag, frames", (1, 1, 1), of("lag_frames", 1))
            yield Goal(f"{result.title}: exchanged sides mended, %", (50, 80, 95), of("mended", 100), 0)
    growth = {name: row["pa_growth"] for name, row in crops.get("evenly, 50%", {}).items()}
    if growth:
        yield Goal("50 % crop: growth of PA-MPJPE, mm", (30, 23, 15), growth, 1)


def goal_rows(found: Sequence[Goal], systems: Sequence[str]) -> list[tuple[str, list[str]]]:
    """A line for each goal: what is wanted, and what each of the systems reaches."""
    lines = []
    for goal in found:
        reached = [goal.measured.get(system, math.nan) for system in systems]
        texts = [f"{value:.{goal.decimals}f}" if math.isfinite(value) else "–" for value in reached]
        lines.append((goal.title, [" / ".join(f"{value:g}" for value in goal.wanted), *texts]))
    return lines
