"""Fit the open body to a folder of optical recordings.

    python -m training.fit_markers ../shared/mocap/c3d --out out/markers

Each subject's shape and marker places are found once, from frames spread over their recordings; then every recording
is fitted by itself. What is done already is not done again, so a run that was cut short goes on. The output is AMASS's
layout (Z up), read back with ``training.datasets.fitted.read_fitted``, and ``summary.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mocap.errors import MocapError
from training.datasets.c3d import Markers, read_c3d
from training.datasets.fitted import SOURCE, fitted_files, write_fitted
from training.datasets.subjects import subject_of
from training.marker_model import MARKER_SETS, MarkerModel, load_marker_set
from training.marker_shape import Subject, fit_subject, start
from training.marker_solver import Observation, Point, Settings, fit_poses

Float = NDArray[np.float64]

_ENOUGH = 0.6  # share of the set's markers that the first and the last fitted frame must see
_FEW = 0.3  # frames that see a smaller share are bridged by the accelerations' prior, and marked
_CANDIDATES = 2000  # frames among which the most different are looked for
_KEY = 6  # every so many frames are fitted from the neutral pose, the others from the nearest of these
_SHORTEST = 5  # frames
_LOST = 0.04  # m: a frame whose median residual is larger starts again from the nearest better frame


@dataclass(frozen=True)
class Fitted:
    """A fitted recording."""

    markers: Markers
    point: Point

    @property
    def residual(self) -> Float:
        """(T, M) m, NaN where not seen."""
        return np.linalg.norm(self.point.posed.markers.numpy() - self.markers.points, axis=-1)


def trimmed(markers: Markers) -> Markers:
    """Without the frames at either end in which the actor is on the way into or out of the cameras' sight."""
    share = markers.seen.mean(1)
    good = np.flatnonzero(share >= _ENOUGH)
    if len(good) < _SHORTEST:
        raise MocapError(f"{markers.name}: expected at least {_SHORTEST} frames with {_ENOUGH:.0%} of the marker set's "
                         f"{len(markers.labels)} markers, found {len(good)}; another marker set, or an empty one?")  # fmt: skip
    return markers.cut(int(good[0]), int(good[-1]) + 1)


def calibration_frames(recordings: Sequence[Markers], count: int) -> Float:
    """Frames (at most count, M, 3) of a subject among those that see most markers: half spread evenly over all
    recordings, half the most different ones, so that floor work has its say beside hours of walking."""
    candidates = []
    for markers in recordings:
        share = markers.seen.mean(1)
        candidates.append(markers.points[share >= max(_ENOUGH, np.quantile(share, 0.6))])
    frames = np.concatenate(candidates)
    evenly = np.linspace(0, len(frames) - 1, count // 2).round().astype(int)
    every = np.arange(0, len(frames), max(1, len(frames) // _CANDIDATES))
    return frames[np.union1d(evenly, every[_most_different(frames[every], count // 2)])]


def _most_different(frames: Float, count: int) -> NDArray[np.int64]:
    """Greedily, the frame (T, M, 3) farthest from all chosen ones, by the distances between their markers."""
    one, other = np.triu_indices(frames.shape[1], 1)
    shape = np.linalg.norm(frames[:, one] - frames[:, other], axis=-1)
    chosen = [0]
    nearest = np.full(len(frames), np.inf)
    for _ in range(min(count, len(frames)) - 1):
        change = (shape - shape[chosen[-1]]) ** 2
        both = np.isfinite(change)
        nearest = np.minimum(nearest, np.where(both, change, 0).sum(1) / np.maximum(both.sum(1), 1))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def fit_recording(model: MarkerModel, subject: Subject, markers: Markers) -> Fitted:
    """Poses of a trimmed recording."""
    rig, count = model.rig(subject.betas, subject.offset), len(markers.points)
    seen = Observation.create(markers.points, model.markers.sigma)
    keys = np.unique(np.append(np.arange(0, count, _KEY), count - 1))
    R, root = start(model, subject, markers.points[keys])
    keyed = fit_poses(rig, Observation(seen.points[keys], seen.weight[keys]), R, root, Settings(steps=15, robust=8.0))
    per_second = 30 / markers.fps
    smooth = Settings(8, 3.0, turn_acceleration=0.3 * per_second**2, root_acceleration=0.1 * per_second**2)
    point = keyed
    nearest = np.abs(np.arange(count)[:, None] - keys).argmin(1)
    for _ in range(2):
        point = fit_poses(rig, seen, point.R[nearest], point.root[nearest], smooth)
        error = np.linalg.norm(point.posed.markers.numpy() - markers.points, axis=-1)
        median = np.nanmedian(np.where(np.isfinite(error).any(1, keepdims=True), error, 0), 1)
        good = np.flatnonzero(median < _LOST)
        if len(good) in (0, count):
            break
        nearest = good[np.abs(np.arange(count)[:, None] - good).argmin(1)]
    return Fitted(markers, point)


def read_recordings(files: Sequence[Path], labels: Sequence[str], fps: float) -> tuple[list[Markers], dict[str, str]]:
    """All that can be read, at one frame rate, and the errors of the others by file name."""
    recordings, failed = [], {}
    for path in tqdm(files, desc="reading", unit="file"):
        try:
            recordings.append(trimmed(read_c3d(path).select(labels).resample(fps)))
        except MocapError as error:
            failed[path.name] = str(error)
    return recordings, failed


def load_subject(path: Path, model: MarkerModel, recordings: Sequence[Markers], frames: int) -> Subject:
    """The subject's shape, fitted unless the file is there."""
    if path.is_file():
        with np.load(path) as data:
            if tuple(data["labels"]) == model.markers.labels:
                return Subject(data["betas"], data["offset"])
        raise MocapError(f"{path}: made with another marker set than {model.markers.name}; delete {path.parent.parent}")
    subject, _ = fit_subject(model, calibration_frames(recordings, frames))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, betas=subject.betas, offset=subject.offset, labels=np.array(model.markers.labels))
    return subject


def fit_folder(folder: Path, out: Path, fps: float, marker_set: Path, frames: int) -> dict:
    """Fit all recordings of a folder; returns the summary that it writes."""
    files = sorted(folder.glob("*.c3d"))
    if not files:
        raise MocapError(f"expected C3D recordings (*.c3d), found none in {folder}")
    model = MarkerModel.create(load_marker_set(marker_set))
    recordings, failed = read_recordings(files, model.markers.labels, fps)
    by_subject: dict[str, list[Markers]] = {}
    for markers in recordings:
        by_subject.setdefault(subject_of(SOURCE, markers.name), []).append(markers)
    bar = tqdm(total=sum(len(m.points) for m in recordings), desc="fitting", unit="frame")
    for subject_name, theirs in by_subject.items():
        actor = subject_name.split("/")[-1]
        subject = load_subject(out / "subjects" / f"{actor}.npz", model, theirs, frames)
        for markers in theirs:
            path = out / actor / f"{markers.name}.npz"
            if not path.is_file():
                fitted = fit_recording(model, subject, markers)
                valid = markers.seen.mean(1) >= _FEW
                write_fitted(path, markers, fitted.point.R.numpy(), fitted.point.root.numpy(), subject.betas, valid,
                             fitted.residual)  # fmt: skip
            bar.update(len(markers.points))
    bar.close()
    summary = summarise(out, failed)
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def summarise(out: Path, failed: dict[str, str]) -> dict:
    """Residuals in mm, per actor and over all, and the recordings with the largest."""
    residuals: dict[str, list[Float]] = {}
    seconds: dict[str, float] = {}
    per_file = {}
    for path in fitted_files(out):
        with np.load(path) as data:
            seen = data["marker_residual"][np.isfinite(data["marker_residual"])]
            actor = path.parent.name
            residuals.setdefault(actor, []).append(seen)
            seconds[actor] = seconds.get(actor, 0.0) + len(data["trans"]) / float(data["mocap_framerate"])
            per_file[f"{actor}/{path.stem}"] = {**_statistics([seen]), "invalid_frames": int((~data["valid"]).sum())}
    if not residuals:
        raise MocapError(f"expected at least one recording that can be fitted, found none: {'; '.join(failed.values())}")
    worst = sorted(per_file, key=lambda name: -per_file[name]["median_mm"])[:10]
    return {
        "actors": {a: {"files": len(r), "seconds": round(seconds[a], 1), **_statistics(r)} for a, r in residuals.items()},
        "all": _statistics([part for parts in residuals.values() for part in parts]),
        "worst": {name: per_file[name] for name in worst},
        "failed": failed,
        "files": per_file,
    }  # fmt: skip


def _statistics(residuals: Sequence[Float]) -> dict[str, float]:
    joined = 1000 * np.concatenate(residuals)
    return {"median_mm": round(float(np.median(joined)), 2), "p95_mm": round(float(np.quantile(joined, 0.95)), 2)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="C3D recordings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=30.0, help="frame rate of the output (30)")
    parser.add_argument("--marker-set", type=Path, default=MARKER_SETS / "vicon41.yaml")
    parser.add_argument("--frames", type=int, default=160, help="frames from which a subject's shape is found (160)")
    options = parser.parse_args(arguments)
    try:
        summary = fit_folder(options.folder, options.out, options.fps, options.marker_set, options.frames)
    except MocapError as error:
        print(error, file=sys.stderr)
        return 1
    shown = {key: summary[key] for key in ("actors", "all", "worst", "failed")}
    print(json.dumps(shown, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
