from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from tests.training.evaluation.made import made_clip, true_answer
from training.evaluation.oracles import AS_IS, BOTH
from training.evaluation.plots import save_all
from training.evaluation.report import Report, markdown, write
from training.evaluation.runs import noise_ladder, oracle_ladder, run_set, travel
from training.evaluation.targets import REAL, goal_rows, goals
from training.evaluation.track import Answer, Array, System, Track
from training.evaluation.truth import Clip
from training.evaluation.watching import RAW, SMOOTHED


def knowing(clips: list[Clip], tilt: float = 0.0) -> System:
    """A system that knows the truth of these clips, but for an error in the left elbow, rad."""
    answers = {clip.name: true_answer(clip) for clip in clips}

    def system(track: Track, shape: Array | None = None) -> Answer:
        answer = answers[track.name]
        R = answer.R_parent_joint.copy()
        c, s = np.cos(tilt), np.sin(tilt)
        R[:, 18] = R[:, 18] @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        return Answer(R, answer.betas if shape is None else np.tile(shape, (len(track), 1)))

    return system


def test_a_set_is_measured_clip_by_clip_and_as_a_whole() -> None:
    clips = [made_clip(frames=frames, seed=seed, noise_m=0.03) for seed, frames in enumerate((20, 40))]
    result = run_set("two", "", clips, {"knowing": knowing(clips), "tilted": knowing(clips, 0.5)})
    assert result.whole.frames == 60
    parts, whole = result.by_part(), result.figures()
    assert list(whole) == [RAW, SMOOTHED, "knowing", "tilted"]
    first, second = (parts[clip.name][RAW]["pa_mpjpe"] for clip in clips)
    assert whole[RAW]["pa_mpjpe"] == pytest.approx((20 * first + 40 * second) / 60)
    ratios = result.ratios("pa_mpjpe")
    assert ratios["knowing"] == pytest.approx(0, abs=1e-6)
    assert ratios[SMOOTHED] == pytest.approx(1)
    expected = np.mean([parts[c.name]["tilted"]["pa_mpjpe"] / parts[c.name][SMOOTHED]["pa_mpjpe"] for c in clips])
    assert ratios["tilted"] == pytest.approx(expected)
    assert result.example is not None
    assert result.example.clip is max(clips, key=travel)


def test_unrelated_frames_are_one_part() -> None:
    clips = [made_clip(frames=1, seed=seed, noise_m=0.03) for seed in range(6)]
    result = run_set("frames", "", clips, {"knowing": knowing(clips)})
    assert list(result.parts) == ["frames"]
    assert result.whole.frames == 6
    row = result.figures()["knowing"]
    assert row["pa_mpjpe"] < 1e-6
    assert "acceleration" not in row


def test_clips_that_share_a_name_all_count_and_one_without_frames_is_named(caplog: pytest.LogCaptureFixture) -> None:
    clip = made_clip(frames=10, noise_m=0.03)
    track = replace(clip.track, name="unseen")
    blind = replace(clip, track=track, truth=replace(clip.truth, scored=np.zeros(10, bool)))
    result = run_set("twins", "", [clip, clip, blind], {})
    assert list(result.parts) == ["made_0", "made_0 #2"]
    assert result.whole.frames == 20
    assert "unseen" in caplog.text


def test_nothing_to_measure_is_an_error() -> None:
    clip = made_clip(frames=4)
    blind = replace(clip, truth=replace(clip.truth, scored=np.zeros(4, bool)))
    with pytest.raises(MocapError, match="found none"):
        run_set("blind", "", [blind], {})


def test_the_ladder_tells_systems_what_oracles_know() -> None:
    clips = [made_clip(frames=8, seed=seed, noise_m=0.03) for seed in range(2)]
    told: list[tuple[bool, bool]] = []

    def curious(track: Track, shape: Array | None = None) -> Answer:
        exact = bool((track.landmarks_px == clips[0].track.landmarks_px).all())
        told.append((exact, shape is None))
        return knowing(clips)(track, shape)

    found = oracle_ladder(clips, {"curious": curious})
    assert next(iter(found)) == AS_IS
    assert list(found)[-1] == BOTH
    assert told[:4] == [(True, True), (True, False), (False, True), (False, False)]
    assert max(row["curious"]["pa_mpjpe"] for row in found.values()) < 1e-3


def test_the_noise_ladder_has_a_row_for_each_deviation() -> None:
    clips = [made_clip(frames=8, seed=seed, noise_m=0.03) for seed in range(2)]
    found = noise_ladder(clips, {0.0: {"net": knowing(clips)}, 2.0: {"net": knowing(clips, 0.4)}})
    assert found[0.0]["net"]["pa_mpjpe"] < 1e-6 < 1 < found[2.0]["net"]["pa_mpjpe"]
    assert list(found[0.0]) == ["net"]


def test_the_page_the_figures_and_the_pictures(tmp_path: Path) -> None:
    clips = [made_clip(frames=30, seed=seed, noise_m=0.03) for seed in range(2)]
    frames = [made_clip(frames=1, seed=seed, noise_m=0.03) for seed in range(5)]
    some = {"tilted": knowing([*clips, *frames], 0.5)}
    # Clips and frames of one seed share their names.
    report = Report({"command": "python -m training.evaluate --here"})
    report.sets = [
        run_set("Clips", "of two", clips, {"tilted": knowing(clips, 0.5)}),
        run_set("Frames", "", frames, some),
    ]
    report.ladder = oracle_ladder(clips, {"tilted": knowing(clips, 0.5)})
    row = {"pa_mpjpe": 50.0, "pa_growth": 7.25, "mpjpe": 80.0, "mpjpe_growth": 9.0, "found": 0.9}
    report.crops = {"evenly, 30%": {"tilted": row}, "evenly, 50%": {}}
    output = tmp_path / "docs" / "page.md"
    report.pictures = save_all(report.sets, output)
    write(report, output)
    text = output.read_text()
    assert "`python -m training.evaluate --here`" in text
    assert f"| PA-MPJPE, mm | {report.sets[0].figures()[RAW]['pa_mpjpe']:.1f} |" in text
    assert "evenly, 30% (90% found) | 50.0 (+7.2) |" in text
    assert "nan" not in text.lower().replace("nanometre", "")
    for _, path in report.pictures:
        assert path.stat().st_size > 10_000
        assert f"]({path.name})" in text
    figures = json.loads(output.with_suffix(".json").read_text())
    system = figures["sets"]["Clips"]["systems"]["tilted"]
    assert system["pa_mpjpe"] == pytest.approx(report.sets[0].figures()["tilted"]["pa_mpjpe"], rel=1e-4)
    points = figures["sets"]["Clips"]["points"]["tilted"]
    assert max(points["points_pa"], key=points["points_pa"].get) == "left_wrist"
    assert max(points["local_deg"], key=points["local_deg"].get) == "left_elbow"
    assert points["local_deg"]["left_elbow"] == pytest.approx(math.degrees(0.5), abs=0.01)
    assert figures["sets"]["Frames"]["systems"][RAW].get("lag_frames") is None


def test_goals_stand_beside_what_is_reached() -> None:
    clips = [made_clip(frames=30, seed=seed, noise_m=0.03) for seed in range(2)]
    result = run_set(REAL, "", clips, {"tilted": knowing(clips, 0.5)})
    crops = {"evenly, 50%": {"tilted": {"pa_growth": 21.5}}}
    found = {goal.title: goal for goal in goals([result], crops)}
    assert len(found) == 6
    ratio = found["Real recordings: PA-MPJPE over smoothed MediaPipe's"]
    assert ratio.measured["tilted"] == result.ratios("pa_mpjpe")["tilted"]
    assert goal_rows([ratio], ["tilted", "other"])[0][1] == ["0.9 / 0.8 / 0.65", f"{ratio.measured['tilted']:.2f}", "–"]
    assert goal_rows(list(found.values()), ["tilted"])[-1][1] == ["30 / 23 / 15", "21.5"]
    page = markdown(Report({"command": ""}, [result], crops={}), Path())
    assert "| Real recordings: lag, frames | 1 / 1 / 1 |" in page


def test_a_table_leaves_out_rows_without_figures() -> None:
    clips = [made_clip(frames=1, noise_m=0.03)]
    page = markdown(Report({"command": ""}, [run_set("Frames", "", clips, {})]), Path())
    assert "PA-MPJPE, mm" in page
    assert "jitter" not in page
    assert "PVE, mm |" not in page
