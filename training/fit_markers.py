"""Fit the open body to a folder of optical recordings.

    python -m training.fit_markers ../shared/mocap/c3d --source accad_c3d --out out/markers

Each subject's shape and marker places are found once, from frames spread over their recordings; then every recording
is fitted by itself. What is done already is not done again, so a run that was cut short goes on. The output is AMASS's
layout (Z up), read back with ``training.datasets.fitted.read_fitted``, and ``summary.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mocap.errors import MocapError
from training.datasets.c3d import Markers, read_c3d
from training.datasets.fitted import Recording, fitted_files, save_npz, write_fitted
from training.marker_model import MARKER_SETS, MarkerModel, MarkerSet, load_marker_set
from training.marker_shape import Subject, fit_subject, start
from training.marker_solver import Observation, Point, Settings, fit_poses

Float = NDArray[np.float64]

_ENOUGH = 0.6  # share of the set's markers that the first and the last fitted frame must see
_FEW = 0.3  # frames that see a smaller share are bridged by the accelerations' prior, and marked
_CANDIDATES = 2000  # frames among which the most different are looked for
_KEY = 6  # every so many frames are fitted from the neutral pose, the others from the nearest of these
_SHORTEST = 5  # frames
_LOST = 0.04  # m: a frame whose median residual is larger is lost
_SWAPPED = 0.045  # m: a marker whose median residual is larger over a whole recording may have another one's label
_NEIGHBOURS = 6  # markers whose label it may be
_MANY = 3  # markers
_EXPLAINS = 0.35  # an exchange of labels has to bring the energy down to this share
_FAR, _LIMB = 0.1, 3  # m; and so is one in which this many more markers are this far off than usual: a limb went astray


@dataclass(frozen=True)
class Options:
    """How a folder is fitted."""

    source: str  # its name, "accad_c3d"
    fps: float = 30.0  # of the output
    marker_set: Path = MARKER_SETS / "vicon41.yaml"
    frames: int = 160  # from which a subject's shape is found


@dataclass(frozen=True)
class Fitted:
    """A fitted recording."""

    markers: Markers
    point: Point
    exchanged: tuple[str, ...] = ()  # "LWRA-LWRB"

    @property
    def residual(self) -> Float:
        """(T, M) m, NaN where not seen."""
        return np.linalg.norm(self.point.posed.markers.numpy() - self.markers.points, axis=-1)

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(T,) frames whose pose does not explain their markers. Labels swapped throughout a recording do not count."""
        residual = self.residual
        some = np.isfinite(residual).any(1)
        median = np.nanmedian(np.where(some[:, None], residual, 0.0), 1)
        far = (residual > _FAR).sum(1)
        return (median > _LOST) | (far >= np.median(far) + _LIMB)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(T,) frames that are not lost and see enough markers."""
        return (self.markers.seen.mean(1) >= _FEW) & ~self.lost


def trimmed(markers: Markers) -> Markers:
    """Without the frames at either end in which the actor is on the way into or out of the cameras' sight."""
    share = markers.seen.mean(1)
    good = np.flatnonzero(share >= _ENOUGH)
    if len(good) < _SHORTEST:
        raise MocapError(
            f"{markers.name}: expected at least {_SHORTEST} frames that see {_ENOUGH:.0%} of the marker set's"
            f" {len(markers.labels)} markers, found {len(good)}; leave this file out"
        )
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
    count = len(markers.points)
    keys = np.unique(np.append(np.arange(0, count, _KEY), count - 1))
    markers, keyed, exchanged = with_own_labels(model, subject, markers, keys)
    rig, seen = model.rig(subject.betas, subject.offset), Observation.create(markers.points, model.markers.sigma)
    per_second = 30 / markers.fps
    smooth = Settings(8, 3.0, turn_acceleration=0.3 * per_second**2, root_acceleration=0.1 * per_second**2)
    nearest = np.abs(np.arange(count)[:, None] - keys).argmin(1)
    fitted = Fitted(markers, fit_poses(rig, seen, keyed.R[nearest], keyed.root[nearest], smooth), exchanged)
    found = np.flatnonzero(~fitted.lost)
    if len(found) in (0, count):
        return fitted
    # Lost frames start again from the nearest frame that is not.
    nearest = found[np.abs(np.arange(count)[:, None] - found).argmin(1)]
    again = fit_poses(rig, seen, fitted.point.R[nearest], fitted.point.root[nearest], smooth)
    return Fitted(markers, again, exchanged)


def with_own_labels(
    model: MarkerModel, subject: Subject, markers: Markers, keys: NDArray[np.int64]
) -> tuple[Markers, Point, tuple[str, ...]]:
    """Exchanges labels that were swapped throughout the recording, pair by pair, while that explains it much better.

    Returns the recording, its poses in the frames ``keys``, and what was exchanged.
    """
    point = _fit_keys(model, subject, markers, keys)
    exchanged: list[str] = []
    while True:
        trials = {pair: markers.exchange(*pair) for pair in _suspects(markers, point, keys)}
        fits = {pair: _fit_keys(model, subject, trial, keys) for pair, trial in trials.items()}
        best = min(fits, key=lambda pair: float(fits[pair].energy.sum()), default=None)
        if best is None or fits[best].energy.sum() > _EXPLAINS * point.energy.sum():
            return markers, point, tuple(exchanged)
        markers, point = trials[best], fits[best]
        exchanged.append("-".join(best))


def _fit_keys(model: MarkerModel, subject: Subject, markers: Markers, keys: NDArray[np.int64]) -> Point:
    """Each frame by itself, from the neutral pose."""
    points = markers.points[keys]
    rig, seen = model.rig(subject.betas, subject.offset), Observation.create(points, model.markers.sigma)
    return fit_poses(rig, seen, *start(model, subject, points), Settings(steps=15, robust=8.0))


def _suspects(markers: Markers, point: Point, keys: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Pairs of labels that may have been swapped: among the markers that are far off and those that they are close to.

    A swap twists a limb, so the markers that are far off need not be the swapped ones. Where many are far off,
    something else is wrong.
    """
    fitted, points = point.posed.markers.numpy(), markers.points[keys]
    neighbours: list[set[str]] = []
    for index in range(len(markers.labels)):
        seen = np.isfinite(points[:, index, 0])
        away = np.linalg.norm(fitted[seen] - points[seen, index, None], axis=-1)  # (T, M)
        if len(away) and np.median(away[:, index]) > _SWAPPED:
            nearest = np.argsort(np.median(away, 0))[:_NEIGHBOURS]
            neighbours.append({markers.labels[other] for other in [index, *nearest]})
    return list(combinations(sorted(set().union(*neighbours)), 2)) if len(neighbours) <= _MANY else []


def of_marker_set(markers: Markers, marker_set: MarkerSet) -> Markers:
    """The recording with exactly the set's markers.

    Raises:
        MocapError: it has too few of them.
    """
    missing = [label for label in marker_set.labels if label not in markers.labels]
    unknown = [label for label in markers.labels if label not in marker_set.labels]
    if len(missing) > (1 - _ENOUGH) * len(marker_set.labels):
        raise MocapError(
            f"{markers.name}: expected at least {_ENOUGH:.0%} of the {len(marker_set.labels)} labels of the marker set"
            f" {marker_set.name}, found labels that it does not have: {', '.join(unknown) or 'none'}; missing:"
            f" {', '.join(missing)}. Write a marker set (docs/markers.md) and give it with --marker-set"
        )
    return markers.select(marker_set.labels)


def read_recordings(
    files: Sequence[Path], marker_set: MarkerSet, fps: float
) -> tuple[list[Markers], dict[str, str], Counter[str]]:
    """All that can be read, at one frame rate; the errors of the others by file name; and how many files had each of
    the labels that the set does not know."""
    recordings: list[Markers] = []
    failed: dict[str, str] = {}
    ignored: Counter[str] = Counter()
    for path in tqdm(files, desc="reading", unit="file"):
        try:
            markers = read_c3d(path)
            recordings.append(trimmed(of_marker_set(markers, marker_set).resample(fps)))
            ignored.update(set(markers.labels) - set(marker_set.labels))
        except MocapError as error:
            failed[path.name] = str(error)
    if not recordings:
        raise MocapError(f"expected at least one recording that can be fitted, found none of {len(files)}; the first:"
                         f" {next(iter(failed.values()))}")  # fmt: skip
    return recordings, failed, ignored


def load_subject(path: Path, model: MarkerModel, recordings: Sequence[Markers], frames: int) -> Subject:
    """The subject's shape, fitted unless the file is there."""
    if path.is_file():
        with np.load(path) as data:
            if tuple(data["labels"]) == model.markers.labels:
                return Subject(data["betas"], data["offset"])
        raise MocapError(f"{path}: made with another marker set than {model.markers.name}; delete {path.parent.parent}")
    subject = fit_subject(model, calibration_frames(recordings, frames))
    save_npz(path, betas=subject.betas, offset=subject.offset, labels=np.array(model.markers.labels))
    return subject


def fit_folder(folder: Path, out: Path, options: Options) -> dict:
    """Fit all recordings of a folder; returns the summary that it writes."""
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() == ".c3d")
    if not files:
        raise MocapError(f"expected C3D recordings (*.c3d), found none in {folder}")
    if not options.fps > 0:
        raise MocapError(f"expected a frame rate above 0, found --fps {options.fps}")
    model = MarkerModel.create(load_marker_set(options.marker_set))
    recordings, failed, ignored = read_recordings(files, model.markers, options.fps)
    by_actor: dict[str, list[Markers]] = {}
    for markers in recordings:
        by_actor.setdefault(markers.actor or folder.resolve().name, []).append(markers)
    with tqdm(total=sum(len(m.points) for m in recordings), desc="fitting", unit="frame") as bar:
        for actor, theirs in by_actor.items():
            subject = load_subject(out / "subjects" / f"{actor}.npz", model, theirs, options.frames)
            for markers in theirs:
                path = out / actor / f"{markers.name}.npz"
                fitted = None if path.is_file() else fit_recording(model, subject, markers)
                if fitted is not None and fitted.valid.any():
                    write_fitted(path, recording_of(fitted, subject, options.source, actor))
                elif fitted is not None:
                    failed[f"{markers.name}.c3d"] = f"{markers.name}: no frame could be fitted; are its labels right?"
                bar.update(len(markers.points))
    summary = summarise(out, failed) | {"ignored_labels": dict(ignored)}
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def recording_of(fitted: Fitted, subject: Subject, source: str, actor: str) -> Recording:
    """What is written of a recording. Sources that share what is before the first underscore share their actors."""
    return Recording(
        fitted.markers, source, f"{source.partition('_')[0]}/{actor}", subject.betas, fitted.point.R.numpy(),
        fitted.point.root.numpy(), fitted.valid, fitted.residual, fitted.exchanged,
    )  # fmt: skip


def summarise(out: Path, failed: dict[str, str]) -> dict:
    """Residuals in mm per actor, over all and per recording, and the recordings with the largest."""
    residuals: dict[str, list[Float]] = {}
    seconds: dict[str, float] = {}
    invalid: Counter[str] = Counter()  # frames
    per_file = {}
    for path in fitted_files(out):
        with np.load(path) as data:
            seen = data["marker_residual"][np.isfinite(data["marker_residual"])]
            exchanged = data["exchanged"].tolist()
            dropped, length = int((~data["valid"]).sum()), len(data["trans"]) / float(data["mocap_framerate"])
        actor = path.parent.name
        residuals.setdefault(actor, []).append(seen)
        seconds[actor] = seconds.get(actor, 0.0) + length
        invalid[actor] += dropped
        per_file[f"{actor}/{path.stem}"] = {**_statistics([seen]), "invalid_frames": dropped, "exchanged": exchanged}
    if not per_file:
        raise MocapError(f"expected at least one recording that can be fitted, found none: {failed}")
    worst = sorted(per_file, key=lambda name: -per_file[name]["median_mm"])[:10]
    actors = {
        actor: {"files": len(parts), "seconds": round(seconds[actor], 1), **_statistics(parts),
                "invalid_frames": invalid[actor]}
        for actor, parts in residuals.items()
    }  # fmt: skip
    return {
        "actors": actors,
        "all": _statistics([part for parts in residuals.values() for part in parts]),
        "worst": {name: per_file[name] for name in worst},
        "failed": failed,
        "files": per_file,
    }


def _statistics(residuals: Sequence[Float]) -> dict[str, float]:
    joined = 1000 * np.concatenate(residuals)
    return {"median_mm": round(float(np.median(joined)), 2), "p95_mm": round(float(np.quantile(joined, 0.95)), 2)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="C3D recordings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", required=True, help="name of this set of recordings, e.g. accad_c3d or my_studio")
    parser.add_argument("--fps", type=float, default=Options.fps, help="frame rate of the output (30)")
    parser.add_argument("--marker-set", type=Path, default=Options.marker_set)
    parser.add_argument("--frames", type=int, default=Options.frames, help="frames that a shape is found from (160)")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # many small matrices: threads only wait for each other, much so on a busy machine
    try:
        summary = fit_folder(given.folder, given.out, Options(given.source, given.fps, given.marker_set, given.frames))
    except MocapError as error:
        print(error, file=sys.stderr)
        return 1
    shown = {key: summary[key] for key in ("actors", "all", "worst", "failed", "ignored_labels")}
    print(json.dumps(shown, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
