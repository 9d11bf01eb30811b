"""Videos through the landmark networks: our tracker, and MediaPipe's own solution. What they saw is kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import mocap.models.blazepose
import mocap.people
from mocap.errors import MocapError
from mocap.types import Frame, Person
from training.evaluation.track import Array, Points, Track

CACHE = Path("out/evaluation")
RAW, SMOOTHED = "MediaPipe raw", "MediaPipe smoothed"


@dataclass(frozen=True)
class View:
    """A clip of one camera."""

    name: str
    path: Path
    focal_px: float
    quarter_turns: int = 0  # clockwise, to make it upright


def frames(view: View) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Time in seconds and upright picture (H, W, 3) of each frame.

    Raises:
        MocapError: it cannot be read.
    """
    try:
        with av.open(str(view.path)) as container:
            for index, picture in enumerate(container.decode(video=0)):
                rgb = np.rot90(picture.to_ndarray(format="rgb24"), -view.quarter_turns)
                rate = float(container.streams.video[0].average_rate or 30)
                t = index / rate if picture.pts is None else float(picture.pts * picture.time_base)
                yield t, np.ascontiguousarray(rgb)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise MocapError(f"{view.path}: expected a video, found none that opens ({error})") from error


def watch_blazepose(view: View, cache: Path | None = None) -> Track:
    """What our own tracker sees of one person."""
    seen = _kept(cache, view, f"tracker {_tracker_version()}", lambda: _by_tracker(view))
    size = int(seen["size"][0]), int(seen["size"][1])
    names = ("landmarks_px", "landmarks_world", "visibility", "roi", "score", "features")
    return Track(view.name, seen["t"], size, view.focal_px, 0.0, *(seen[name] for name in names))


def watch_mediapipe(view: View, cache: Path | None = None) -> dict[str, Points]:
    """MediaPipe's legacy pose solution, complexity 1, without and with smoothing; NaN in frames without a person.

    Without time stamps, as everybody calls it: it takes any video for one of 30 frames a second.
    """
    import mediapipe

    version = f"mediapipe {mediapipe.__version__}"
    seen = _kept(cache, view, version, lambda: _by_mediapipe(view))
    return {RAW: Points(seen["raw"]), SMOOTHED: Points(seen["smoothed"])}


def _by_tracker(view: View) -> dict[str, Array]:
    from mocap.config import PeopleConfig
    from mocap.models.blazepose import load_detector, load_landmarker

    landmarker = load_landmarker(features=True)
    tracker = mocap.people.Tracker(PeopleConfig(max_people=1), load_detector(), landmarker)
    times: list[float] = []
    persons: list[Person | None] = []
    size = (0, 0)
    for index, (t, rgb) in enumerate(tqdm(frames(view), desc=f"tracker, {view.name}", unit="frame", leave=False)):
        size = (rgb.shape[1], rgb.shape[0])
        times.append(t)
        found = tracker.update(Frame(index, t, rgb))
        persons.append(found[0] if found else None)
    track = Track.of(view.name, times, size, view.focal_px, persons)
    names = ("t", "landmarks_px", "landmarks_world", "visibility", "roi", "score", "features")
    return {"size": np.array(size, np.float64), **{name: getattr(track, name) for name in names}}


def _by_mediapipe(view: View) -> dict[str, Array]:
    import mediapipe

    poses = [mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=smooth) for smooth in (False, True)]
    rows = [
        [_world(pose.process(rgb)) for pose in poses]
        for _, rgb in tqdm(frames(view), desc=f"MediaPipe, {view.name}", unit="frame", leave=False)
    ]
    for pose in poses:
        pose.close()
    seen = np.array(rows)  # (T, 2, 33, 3)
    return {"raw": seen[:, 0], "smoothed": seen[:, 1]}


def _world(result: object) -> Array:
    """World landmarks (33, 3) m; NaN where nobody is seen."""
    world = getattr(result, "pose_world_landmarks", None)
    if world is None:
        return np.full((33, 3), np.nan)
    return np.array([[point.x, point.y, point.z] for point in world.landmark])


def _kept(cache: Path | None, view: View, what: str, make: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """What ``make`` gives, from the file that an earlier run left; by the video's bytes and by who looked at it."""
    if cache is None:
        return make()
    digest = hashlib.sha256(view.path.read_bytes())
    digest.update(f"{view.quarter_turns} {what}".encode())
    path = cache / f"{view.path.stem}_{digest.hexdigest()[:24]}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, **make())
        part.replace(path)
    with np.load(path) as file_:
        return {name: np.asarray(file_[name], np.float64) for name in file_.files}


@lru_cache(maxsize=1)
def _tracker_version() -> str:
    """Hash of the tracker's own code: what it saw before a change counts no more."""
    networks = Path(mocap.models.blazepose.__file__).parent.glob("blazepose*.py")
    sources = [*sorted(Path(mocap.people.__file__).parent.glob("*.py")), *sorted(networks)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
