from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from mocap.config import PeopleConfig
from mocap.errors import MocapError
from mocap.people import Tracker
from mocap.types import Frame, Person
from tests.people.fakes import FakeDetector, FakeLandmarker, Scene

At = dict[int, tuple[float, float, float]]


def make(**config: float) -> tuple[Tracker, FakeDetector, FakeLandmarker]:
    detector, landmarker = FakeDetector(), FakeLandmarker()
    return Tracker(PeopleConfig(**config), detector, landmarker), detector, landmarker  # type: ignore[arg-type]


def hips(person: Person) -> float:
    return float(person.landmarks_px[[23, 24], 0].mean())


def ids(persons: tuple[Person, ...]) -> list[int]:
    return [person.track_id for person in persons]


def test_one_person_is_found_and_followed() -> None:
    tracker, detector, landmarker = make()
    scene = Scene()
    for i in range(60):
        x = 150 + 5 * i
        (person,) = tracker.update(scene.frame(i, {0: (x, 180, 100)}))
        assert person.track_id == 0
        assert hips(person) == pytest.approx(x, abs=3)
        assert person.landmarks_px.shape == person.landmarks_world.shape == (33, 3)
        assert person.visibility.shape == (33,)
        assert 0.5 <= person.score <= 1
    assert detector.calls == 1  # never again while everybody is there
    assert landmarker.batches == [1] * 60


def test_nobody() -> None:
    tracker, detector, landmarker = make(max_people=3)
    scene = Scene()
    assert [tracker.update(scene.frame(i, {})) for i in range(5)] == [()] * 5
    assert detector.calls == 5
    assert landmarker.batches == []


@pytest.mark.parametrize("fps", [30.0, 10.0])
@pytest.mark.parametrize("front", [0, 1])
def test_ids_survive_a_crossing(fps: float, front: int) -> None:
    tracker, _, landmarker = make(max_people=2)
    scene = Scene(fps=fps)
    seen_apart = 0
    first: dict[int, int] = {}
    for i in range(int(3 * fps)):
        t = i / fps
        at: At = {0: (120 + 140 * t, 180, 100), 1: (520 - 140 * t, 190, 95)}
        order = {front: at[front], 1 - front: at[1 - front]}
        persons = tracker.update(scene.frame(i, dict(reversed(order.items()))))
        if abs(at[0][0] - at[1][0]) > 100:
            for person in persons:
                who = min(at, key=lambda color: abs(at[color][0] - hips(person)))
                assert first.setdefault(who, person.track_id) == person.track_id
                seen_apart += 1
    assert sorted(first.values()) == [0, 1]
    assert seen_apart > 0.9 * 2 * 2.2 * fps
    assert max(landmarker.batches) <= 3


def test_two_who_meet_and_turn_back() -> None:
    """By motion alone each would get the other's id; their clothes tell them apart."""
    tracker, _, _ = make(max_people=2)
    scene = Scene()
    first: dict[int, int] = {}
    for i in range(120):
        at: At = {side: (320 + (2 * side - 1) * (10 + 3 * abs(i - 60)), 180, 100) for side in (0, 1)}
        for person in tracker.update(scene.frame(i, at)):
            if abs(i - 60) > 30:
                side = int(hips(person) > 320)
                assert first.setdefault(side, person.track_id) == person.track_id
    assert sorted(first.values()) == [0, 1]
    assert len(persons := tracker.update(scene.frame(120, at))) == 2, persons


def hide(hidden_s: float, **config: float) -> tuple[list[int], list[int]]:
    """Ids before and after one of two people was away."""
    tracker, _, _ = make(max_people=2, lost_after_s=1.0, **config)
    scene = Scene()
    before: list[int] = []
    for i in range(int(30 * (1 + hidden_s + 1))):
        t = i / 30
        at: At = {0: (200, 180, 100), 1: (450, 180, 100)}
        if 1 <= t < 1 + hidden_s:
            del at[1]
            assert len(before) == 2
        persons = tracker.update(scene.frame(i, at))
        before = ids(persons) if t < 1 else before
    return before, ids(persons)


def test_an_id_survives_a_short_absence() -> None:
    assert hide(0.7) == ([0, 1], [0, 1])


def test_an_id_dies_after_a_long_absence_and_is_not_reused() -> None:
    assert hide(1.5) == ([0, 1], [0, 2])


def test_ids_are_never_reused() -> None:
    tracker, _, _ = make(lost_after_s=0.1)
    scene = Scene()
    given: list[int] = []
    for i in range(120):
        at: At = {0: (300, 180, 100)} if i % 20 < 10 else {}
        given += ids(tracker.update(scene.frame(i, at)))
    assert sorted(set(given)) == list(range(6))
    assert given == sorted(given)


def test_the_first_person_is_the_large_and_central_one() -> None:
    tracker, _, _ = make(max_people=1)
    (person,) = tracker.update(Scene().frame(0, {0: (80, 200, 60), 1: (330, 180, 110), 2: (600, 200, 70)}))
    assert hips(person) == pytest.approx(330, abs=5)


def test_one_person_is_not_exchanged_for_a_passer_by() -> None:
    tracker, _, _ = make(max_people=1)
    scene = Scene()
    for i in range(90):
        at: At = {0: (320, 180, 90), 1: (20 + 7 * i, 185, 100)}  # number 1 walks by in front
        for person in tracker.update(scene.frame(i, at)):
            assert person.track_id == 0
        if i > 75:
            assert hips(person) == pytest.approx(320, abs=8)


def test_passer_by_does_not_inherit_the_id_of_who_left() -> None:
    tracker, _, _ = make(max_people=1, lost_after_s=1.0)
    scene = Scene()
    seen: list[tuple[float, int]] = []
    for i in range(80):
        at: At = {0: (80, 180, 90)} if i < 10 else {1: (560, 180, 90)}
        seen += [(hips(one), one.track_id) for one in tracker.update(scene.frame(i, at))]
    assert {number for x, number in seen if x < 300} == {0}
    assert {number for x, number in seen if x > 300} == {1}


@pytest.mark.parametrize("max_people", [1, 2, 3, 4])
def test_never_more_than_max_people_and_one_batch_a_frame(max_people: int) -> None:
    tracker, detector, landmarker = make(max_people=max_people, redetect_s=0.1)
    scene = Scene()
    for i in range(30):
        at: At = {color: (80 + 155 * color, 180, 80) for color in range(3)}
        before = len(landmarker.batches)
        persons = tracker.update(scene.frame(i, at))
        assert len(landmarker.batches) - before == 1
        assert len(persons) == min(max_people, 3)
        assert ids(persons) == sorted(ids(persons))
    if max_people <= 3:
        assert detector.calls == 1  # no cost when all are there
    else:
        assert 8 <= detector.calls <= 11  # every 0.1 s of 1 s


def test_newcomers_are_found_within_redetect_s() -> None:
    tracker, detector, _ = make(max_people=2, redetect_s=0.5)
    scene = Scene()
    for i in range(40):
        at: At = {0: (150, 180, 90)} | ({1: (450, 180, 90)} if i >= 10 else {})
        persons = tracker.update(scene.frame(i, at))
        if i == 10 + 16:
            assert ids(persons) == [0, 1]
    assert detector.calls <= 3


def test_a_tracked_person_is_not_a_newcomer() -> None:
    tracker, _, landmarker = make(max_people=4, redetect_s=0.0)
    scene = Scene()
    for i in range(20):
        assert ids(tracker.update(scene.frame(i, {0: (150 + 4 * i, 180, 90)}))) == [0]
    assert set(landmarker.batches) == {1}


def test_two_tracks_on_one_person_become_one() -> None:
    """The older id stays when two squares fall onto the same person."""
    tracker, _, _ = make(max_people=2)
    scene = Scene()
    for i in range(90):
        gap = max(0, 200 - 6 * i)
        at: At = {1: (320 + gap, 180, 90), 0: (320, 180, 90)}  # number 1 goes behind number 0 and stays there
        persons = tracker.update(scene.frame(i, at))
    assert ids(persons) == [0]
    assert hips(persons[0]) == pytest.approx(320, abs=5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_hold_the_last_landmarks(value: float, caplog: pytest.LogCaptureFixture) -> None:
    tracker, _, landmarker = make()
    scene = Scene()
    for i in range(5):
        (before,) = tracker.update(scene.frame(i, {0: (200, 180, 90)}))
    with caplog.at_level(logging.WARNING):
        for i in range(5, 10):
            landmarker.spoil = value
            (held,) = tracker.update(scene.frame(i, {0: (203, 180, 90)}))
            assert np.array_equal(held.landmarks_px, before.landmarks_px)
    assert tracker.nan_frames == 5
    assert len(caplog.records) == 1  # once in a while, not every frame
    landmarker.spoil = None
    (after,) = tracker.update(scene.frame(10, {0: (203, 180, 90)}))
    assert after.track_id == before.track_id
    assert hips(after) == pytest.approx(203, abs=2)
    assert tracker.nan_frames == 5


def test_values_that_are_not_finite_for_long_end_the_track() -> None:
    tracker, detector, landmarker = make(lost_after_s=1.0)
    scene = Scene()
    tracker.update(scene.frame(0, {0: (200, 180, 90)}))
    landmarker.spoil = detector.spoil = math.nan
    persons = [tracker.update(scene.frame(i, {0: (200, 180, 90)})) for i in range(1, 60)]
    assert len(persons[0]) == 1
    assert persons[-1] == ()
    assert tracker.nan_frames == 59


def test_visibility_and_score_that_are_not_finite_are_held_too() -> None:
    tracker, _, landmarker = make()
    scene = Scene()
    (before,) = tracker.update(scene.frame(0, {0: (200, 180, 90)}))
    for count, key in enumerate(("presence", "world", "visibility", "landmarks"), start=1):
        landmarker.change = lambda outputs, key=key: outputs[key][0].fill(math.nan)  # type: ignore[misc]
        (held,) = tracker.update(scene.frame(count, {0: (200, 180, 90)}))
        assert held is before
        assert tracker.nan_frames == count


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3840, 2160), (359, 641), (1281, 1), (2, 900)])
def test_odd_sizes(width: int, height: int) -> None:
    tracker, _, _ = make(max_people=2)
    scene = Scene(width, height)
    half = min(width, height) * 0.3
    for i in range(3):
        persons = tracker.update(scene.frame(i, {0: (width / 2, height / 2, half)}))
    if min(width, height) > 100:
        (person,) = persons
        assert hips(person) == pytest.approx(width / 2, rel=0.02)


def test_a_view_that_is_not_contiguous() -> None:
    tracker, _, _ = make()
    frame = Scene().frame(0, {0: (200, 180, 90)})
    (person,) = tracker.update(Frame(0, 0.0, frame.rgb[:, ::-1]))
    assert hips(person) == pytest.approx(640 - 200, abs=4)


def test_dropped_frames_and_jumps_of_time() -> None:
    tracker, _, _ = make(max_people=2, lost_after_s=1.0)
    scene = Scene()
    times = [0.0, 0.033, 0.5, 0.5, 0.53, -7.0, -6.97, -6.0]  # drops, a repeated time stamp, a jump back
    for i, t in enumerate(times):
        persons = tracker.update(scene.frame(i, {0: (200, 180, 90), 1: (430, 180, 90)}, t))
        assert ids(persons) == [0, 1]
    persons = tracker.update(scene.frame(9, {0: (200, 180, 90), 1: (430, 180, 90)}, 100.0))
    assert ids(persons) == [2, 3]  # not seen for longer than lost_after_s


def test_a_coarse_clock_leaves_the_square_at_rest() -> None:
    """Every other frame at 120 frames a second has the time stamp of the one before; landmarks tremble by a pixel."""
    rng = np.random.default_rng(0)
    trembles = []
    for tick in (1e-6, 0.0156):
        tracker, _, landmarker = make()

        def tremble(outputs: dict[str, np.ndarray]) -> None:
            outputs["landmarks"][..., :2] += rng.normal(0, 1, (35, 2)).astype(np.float32)

        landmarker.change = tremble
        scene = Scene()
        squares = []
        for i in range(120):
            t = math.floor(i / 120 / tick) * tick
            (person,) = tracker.update(scene.frame(i, {0: (200, 180, 90)}, t))
            squares.append((*person.roi.center_px, person.roi.size_px))
        trembles.append(np.std(np.diff(squares[20:], axis=0), axis=0).mean())
    assert trembles[1] < 1.3 * trembles[0]


def test_a_square_that_collapses_is_given_up() -> None:
    tracker, _, landmarker = make()
    scene = Scene()
    tracker.update(scene.frame(0, {0: (200, 180, 90)}))

    def collapse(outputs: dict[str, np.ndarray]) -> None:
        outputs["landmarks"][:, 34] = outputs["landmarks"][:, 33]

    kept, landmarker.change = landmarker.change, collapse
    assert tracker.update(scene.frame(1, {0: (200, 180, 90)})) == ()
    landmarker.change = kept
    assert ids(tracker.update(scene.frame(2, {0: (200, 180, 90)}))) == [0]


def test_max_people_must_be_positive() -> None:
    with pytest.raises(MocapError, match="max_people"):
        make(max_people=0)
