"""The shipped network in the whole chain, on the first seconds of the demo clip."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.config import CaptureConfig
from mocap.pipeline import Pipeline
from mocap.sources import open_file
from training.evaluate_root import ASSETS, figures, load_truth, play
from training.evaluation.truth import LIMB_JOINTS
from training.metrics import rotation_error

FRAMES = 40


@pytest.mark.parametrize("lookahead", [0, 8])
def test_the_shipped_network_follows_the_demo_clip(lookahead: int) -> None:
    pipeline = Pipeline(CaptureConfig(fov=65, max_people=1, regressor="tokens"), lookahead)
    results = []
    with open_file(str(ASSETS / "demo.mp4")) as source:
        for frame in source:
            if frame.index == FRAMES:
                break
            results += pipeline(frame, 0.0)
            assert len(results) == max(0, frame.index + 1 - lookahead)
    results += pipeline.flush()
    assert [(frame.index, result.frame_index) for frame, result in results] == [(i, i) for i in range(FRAMES)]
    R = np.array([result.poses[0].R_parent_joint for _, result in results], np.float64)
    error = rotation_error(R, load_truth("demo")["R_parent_joint"][0][:FRAMES].astype(np.float64))
    assert error[:, LIMB_JOINTS].mean() <= 22, error[:, LIMB_JOINTS].mean(0).round(1)


def test_people_stand_on_the_floor_where_they_are() -> None:
    found = figures(play("demo", CaptureConfig(fov=65, max_people=1, regressor="tokens")), load_truth("demo"))
    assert found["root path rms"] <= 10
    assert found["standing soles p95"] <= 4
