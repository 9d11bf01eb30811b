"""The tracker with the real networks: against the demo clips' ground truth, and against MediaPipe's own pipeline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest

from mocap.config import PeopleConfig
from mocap.people import Tracker
from mocap.types import Frame, Person

# MediaPipe takes seconds to import and keeps its threads: it runs in a process of its own.
_MEDIAPIPE = """
import sys
import cv2
import mediapipe
import numpy as np

path, out, last, step = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
pose = mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=False)
capture = cv2.VideoCapture(path)
landmarks = []
for index in range(last):
    ok, bgr = capture.read()
    if not ok:
        break
    if index % step:
        continue
    found = pose.process(np.ascontiguousarray(bgr[..., ::-1])).pose_landmarks
    size = bgr.shape[1::-1]
    points = [(p.x, p.y) for p in found.landmark] if found else np.full((33, 2), np.nan)
    landmarks.append(np.array(points) * size)
np.save(out, np.array(landmarks))
"""


def frames(path: Path, last: int, step: int = 1) -> Iterator[Frame]:
    """Frames of a video. MediaPipe's solutions assume 30 frames a second, whatever the clip has: so does this."""
    capture = cv2.VideoCapture(str(path))
    for index in range(last):
        ok, bgr = capture.read()
        if not ok:
            break
        if index % step == 0:
            yield Frame(index, index // step / 30, np.ascontiguousarray(bgr[..., ::-1]))
    capture.release()


@pytest.fixture(scope="module")
def make_tracker() -> Callable[[int], Tracker]:
    from mocap.models.blazepose import load_detector, load_landmarker

    detector, landmarker = load_detector(engine="auto"), load_landmarker(engine="auto", max_batch=2)
    return lambda max_people: Tracker(PeopleConfig(max_people=max_people), detector, landmarker)


def demo(name: str) -> Path:
    path = Path(str(resources.files("mocap.assets").joinpath(name)))
    if not path.is_file():
        pytest.skip(f"{name} is not here: make it with python -m training.make_demo")
    return path


def compare(path: Path, tracker: Tracker, tmp_path: Path, last: int, step: int = 1) -> tuple[np.ndarray, float]:
    """Distances (N, 33), in heights of the person, where both see the same one; the share of frames that agree."""
    out = tmp_path / "mediapipe.npy"
    subprocess.run([sys.executable, "-c", _MEDIAPIPE, str(path), str(out), str(last), str(step)], check=True)
    reference = np.load(out)
    ours = [tracker.update(frame) for frame in frames(path, last, step)]
    assert len(ours) == len(reference)
    distances, agree = [], 0
    for persons, theirs in zip(ours, reference, strict=True):
        agree += bool(persons) == bool(np.isfinite(theirs[0, 0]))
        if persons and np.isfinite(theirs[0, 0]):
            height = np.ptp(theirs, axis=0).max()  # the longer side: some cameras are turned on their side
            distance = np.linalg.norm(persons[0].landmarks_px[:, :2] - theirs, axis=1) / height
            if np.median(distance) < 0.2:  # else it is somebody else
                distances.append(distance)
    share = agree / len(ours)
    print(
        f"{path.name}: median {np.median(distances):.3%} of the height, same frames {share:.1%}, {len(distances)} compared"
    )
    return np.array(distances), share


def test_agrees_with_mediapipe_on_the_demo(make_tracker: Callable[[int], Tracker], tmp_path: Path) -> None:
    distances, share = compare(demo("demo.mp4"), make_tracker(1), tmp_path, last=120)
    assert share == 1
    assert len(distances) == 120
    assert np.median(distances) <= 0.01


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "last", "min_share"),
    [
        ("clips/dumbbell_raise.mp4", 90, 1.0),
        ("clips/head_and_shoulders.mp4", 90, 1.0),
        ("clips/indoor_walk.mp4", 120, 0.98),
        ("clips/office_sit_move.mp4", 90, 1.0),
        ("clips/outdoor_walk.mp4", 160, 0.95),  # after that MediaPipe jumps to another person
        ("desk_a/cam_0.mp4", 48, 1.0),
        ("desk_a/cam_1.mp4", 48, 1.0),
        ("desk_b/cam_0.mp4", 57, 1.0),
        ("desk_b/cam_3.mp4", 57, 1.0),
    ],
)
def test_agrees_with_mediapipe_on_real_clips(
    make_tracker: Callable[[int], Tracker], shared: Path, tmp_path: Path, name: str, last: int, min_share: float
) -> None:
    distances, share = compare(shared / "media" / name, make_tracker(1), tmp_path, last)
    assert share >= min_share
    assert len(distances) > 0.5 * last
    assert np.median(distances) <= 0.01


@pytest.mark.parametrize("step", [1, 3])
def test_ids_follow_the_ground_truth_through_a_crossing(make_tracker: Callable[[int], Tracker], step: int) -> None:
    path, truth = demo("demo_two.mp4"), np.load(demo("demo_two.npz"))["landmarks_px"]  # (2, frames, 33, 2)
    tracker = make_tracker(2)
    given: dict[int, set[int]] = {0: set(), 1: set()}
    counts = [0, 0]
    apart_frames = 0
    for index, frame in enumerate(frames(path, truth.shape[1], step)):
        points = truth[:, frame.index]
        frame = Frame(frame.index, frame.index / 30, frame.rgb)
        persons = tracker.update(frame)
        height = np.ptp(points[..., 1], axis=1)
        hips = points[:, [23, 24]].mean(axis=1)
        if np.linalg.norm(hips[0] - hips[1]) < 0.3 * height.mean():
            continue  # on top of one another: either is right
        apart_frames += index > 0
        for person in persons:
            who = int(np.argmin(_distance(person, points) / height))
            given[who].add(person.track_id)
            counts[who] += 1
    assert sorted(given.values(), key=min) == [{0}, {1}]
    assert min(counts) > 0.9 * apart_frames


def _distance(person: Person, points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(person.landmarks_px[:, :2] - points, axis=-1).mean(axis=-1)


@pytest.mark.shared
def test_head_and_shoulders_stay_one_person(make_tracker: Callable[[int], Tracker], shared: Path) -> None:
    tracker = make_tracker(4)
    for frame in frames(shared / "media/clips/head_and_shoulders.mp4", 75):
        assert [person.track_id for person in tracker.update(frame)] == [0]
