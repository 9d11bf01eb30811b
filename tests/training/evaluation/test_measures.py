from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT
from tests.training.evaluation.made import made_clip, true_answer
from training.evaluation.measures import figures, flipped_frames, join, measure, per_point
from training.evaluation.track import LEVEL, Answer, Points
from training.evaluation.truth import BODY_POINTS, EXCHANGED, SHOULDERS, Clip

POINTS = list(BODY_POINTS)


def measured(clip: Clip, answer: Answer | Points) -> dict[str, float]:
    found = measure(clip.truth, {"one": answer})
    return figures(found.systems["one"], found.dt)


def test_the_truth_has_no_error_and_no_lag() -> None:
    clip = made_clip()
    found = measured(clip, true_answer(clip))
    names = ("pa_mpjpe", "mpjpe", "dx", "dy", "dz", "joints_pa", "joints_mpjpe", "pve", "limbs_local_deg",
             "limbs_global_deg", "heading_deg", "acceleration_error", "landmarks_pa")  # fmt: skip
    assert max(abs(found[name]) for name in names) < 2e-3  # float32 vertices
    assert found["lag_frames"] == pytest.approx(0, abs=0.02)
    assert found["answered"] == 1
    assert found["acceleration"] == pytest.approx(
        measure(clip.truth, {"one": true_answer(clip)}).truth["acceleration"].mean()
    )


def test_camera_axes_are_those_of_the_camera_not_of_the_world() -> None:
    """The made camera looks down: a pose that is right in the world is wrong in camera axes by that angle."""
    clip = made_clip()
    answer = true_answer(clip)
    assert clip.truth.body is not None
    R_world = clip.truth.body.in_world(answer.R_parent_joint)
    found = measured(clip, Answer(R_world, answer.betas))
    assert found["limbs_global_deg"] == pytest.approx(np.degrees(0.15), abs=0.1)
    assert found["pa_mpjpe"] < 1e-3 < found["mpjpe"]


def test_an_offset_along_an_axis_shows_on_that_axis_alone() -> None:
    clip = made_clip()
    points = clip.truth.points.copy()
    moved = [index for index in POINTS if index not in clip.truth.root]
    points[:, moved, 2] += 0.05
    found = measured(clip, Points(points))
    share = len(moved) / len(POINTS)
    assert (found["dx"], found["dy"], found["dz"]) == pytest.approx((0, 0, 50 * share), abs=1e-6)
    assert found["mpjpe"] == pytest.approx(50 * share)


def test_per_point_errors_name_the_point() -> None:
    clip = made_clip()
    points = clip.truth.points.copy()
    points[:, 15] += [0, 0.1, 0]
    errors = per_point(measure(clip.truth, {"one": Points(points)}).systems["one"])["points"]
    assert errors[15] == pytest.approx(100)
    assert np.nanmax(np.delete(errors, 15)) < 1e-6
    assert np.isnan(errors[1])  # an eye: not compared


def test_a_wrong_elbow_is_seen_against_its_parent_and_in_the_vertices() -> None:
    clip = made_clip()
    answer = true_answer(clip)
    answer.R_parent_joint[:, JOINT["left_elbow"]] @= axis_angle_to_matrix(np.array([0, np.radians(24), 0]))
    found = measured(clip, answer)
    assert found["limbs_local_deg"] == pytest.approx(2, abs=1e-3)  # one of twelve
    assert found["limbs_global_deg"] == pytest.approx(4, abs=1e-3)  # and the wrist
    assert 1 < found["pve"] < 50


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.0, 2.3])
def test_a_constant_lag_is_found_to_a_tenth_of_a_frame(delay: float) -> None:
    parts = []
    for seed in range(6):
        clip = made_clip(seed=seed, delay=delay, noise_m=0.002)
        parts.append(measure(clip.truth, {"one": Points(clip.truth.observed)}))
    whole = join(parts)
    found = figures(whole.systems["one"], whole.dt)
    assert found["lag_frames"] == pytest.approx(delay, abs=0.1)
    assert found["lag_ms"] == pytest.approx(delay / 30 * 1e3, abs=3.4)
    assert found["lag_spread"] < 0.1
    assert np.isnan(figures(parts[0].systems["one"], whole.dt)["lag_spread"])  # of one clip nobody knows


def test_noise_is_acceleration_and_jitter_but_no_lag() -> None:
    clips = [made_clip(seed=seed, noise_m=0.01) for seed in range(6)]
    whole = join([measure(clip.truth, {"one": Points(clip.truth.observed)}) for clip in clips])
    found = figures(whole.systems["one"], whole.dt)
    assert found["acceleration_error"] == pytest.approx(0.01 * np.sqrt(6) * 1.6 * 900, rel=0.25)
    assert found["jitter"] > 5 * found["acceleration"] > 10
    assert found["lag_frames"] == pytest.approx(0, abs=0.1)


def test_planted_feet_that_slide_skate() -> None:
    clip = made_clip()
    body = clip.truth.body
    assert body is not None
    truth = replace(clip.truth, body=replace(body, planted=np.ones_like(body.planted)))
    answer = true_answer(clip)
    root = body.p_camera_joint[:, 0] @ body.R_world_camera[0].T
    feet = (clip.truth.points[:, [31, 32]] @ body.R_world_camera[0].T)[..., [0, 2]]
    speed = np.linalg.norm(np.diff(feet, axis=0), axis=-1).mean() * 30
    found = measure(truth, {"one": answer})
    assert figures(found.systems["one"], found.dt)["foot_skate"] == pytest.approx(speed, rel=1e-6)
    assert speed > 0.05 < np.abs(np.diff(root, axis=0)).max() * 30


def flipped_clip(count: int) -> tuple[Clip, np.ndarray]:
    """A clip whose observation has left and right exchanged in ``count`` frames."""
    clip = made_clip()
    at = np.arange(0, 64, 64 // count)[:count]
    observed = clip.truth.observed.copy()
    observed[at] = observed[at][:, EXCHANGED]
    return replace(clip, truth=replace(clip.truth, observed=observed)), at


def test_flips_are_counted_and_who_mends_them() -> None:
    clip, at = flipped_clip(8)
    assert np.flatnonzero(flipped_frames(clip.truth)).tolist() == at.tolist()
    half = clip.truth.observed.copy()
    half[at[:4]] = clip.truth.points[at[:4]]
    answers: dict[str, Answer | Points] = {
        "raw": Points(clip.truth.observed),
        "half": Points(half),
        "true": true_answer(clip),
    }
    systems = {name: figures(samples, None) for name, samples in measure(clip.truth, answers).systems.items()}
    assert {row["flipped_frames"] for row in systems.values()} == {8}
    assert [systems[name]["mended"] for name in answers] == [0, 0.5, 1]
    assert systems["raw"]["pa_mpjpe"] > 10


def test_a_mirrored_answer_has_the_error_of_a_mirror_image() -> None:
    clip = made_clip()
    mirrored = Points(clip.truth.points * [-1, 1, 1])
    exchanged = Points((clip.truth.points * [-1, 1, 1])[:, EXCHANGED])
    a, b = measured(clip, mirrored), measured(clip, exchanged)
    offset = clip.truth.points[:, POINTS] - clip.truth.points[:, [23, 24]].mean(1, keepdims=True)
    assert a["mpjpe"] == pytest.approx(2e3 * np.abs(offset[..., 0]).mean())
    assert a["pa_mpjpe"] > b["pa_mpjpe"] > 5  # a mirror image with its sides exchanged is a possible person


def test_only_frames_that_all_systems_answer_count() -> None:
    clip = made_clip()
    answer = true_answer(clip)
    answer.R_parent_joint[:10] = np.nan
    found = measure(clip.truth, {"some": answer, "all": Points(clip.truth.points)})
    assert found.frames == 54
    rows = {name: figures(samples, found.dt) for name, samples in found.systems.items()}
    assert rows["some"]["answered"] == pytest.approx(54 / 64)
    assert rows["all"]["answered"] == 1
    assert np.isfinite(found.systems["all"]["pa_mpjpe"]).sum() == 54
    assert np.isfinite(found.systems["all"]["acceleration"]).sum() == 52


def test_reference_with_holes_and_another_root() -> None:
    """As at a desk: no hips, and now and then no wrist."""
    clip = made_clip()
    points = np.full_like(clip.truth.points, np.nan)
    compared = (0, 11, 12, 13, 14, 15, 16)
    points[:, compared] = clip.truth.points[:, compared]
    points[::5, 15] = np.nan
    truth = replace(clip.truth, points=points, compared=compared, root=SHOULDERS, body=None)
    found = measured(replace(clip, truth=truth), Points(clip.truth.points + np.array([0.3, 0.1, -2.0])))
    assert found["pa_mpjpe"] < 1e-6
    assert found["mpjpe"] < 1e-6
    assert found["acceleration_error"] == pytest.approx(0, abs=1e-6)
    assert "pve" not in found


def test_levels_of_occlusion_share_the_frames() -> None:
    clip = made_clip()
    hidden = np.repeat([0.0, 0.2, 0.4, 1.0], 16)
    points = clip.truth.points.copy()
    points[:, 15] += np.repeat([0.0, 0.1, 0.2, 0.3], 16)[:, None] * LEVEL
    found = measured(replace(clip, truth=replace(clip.truth, hidden=hidden)), Points(points))
    levels = [found[f"pa_hidden_{name}"] for name in ("0_15", "15_30", "30_50", "50_100")]
    assert levels[0] < 1e-6
    assert levels == sorted(levels)
    assert np.mean(levels) == pytest.approx(found["pa_mpjpe"])


def test_levels_of_speed_share_the_frames() -> None:
    """A wrist that swings half a metre in the second half of the clip, and an error that comes with it."""
    clip = made_clip()
    true, points = (np.repeat(clip.truth.points[:1], len(clip.truth.points), axis=0) for _ in range(2))
    late = np.arange(len(true)) >= len(true) // 2
    true[late, 15] += 0.5 * ((np.arange(late.sum()) + 1) % 2)[:, None] * LEVEL
    points[late, 16] += 0.1 * LEVEL
    found = measured(replace(clip, truth=replace(clip.truth, points=true)), Points(points))
    assert found["pa_speed_0"] < 1e-6
    assert found["pa_speed_1"] > 10
    assert np.isnan(found["pa_speed_0.5"])
