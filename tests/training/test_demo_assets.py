"""The shipped demo clips agree with themselves: pictures, projections, kinematics and contacts."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

import mocap.assets
from mocap.body.landmarks import LANDMARK
from mocap.body.skeleton import JOINT, NUM_BETAS, Skeleton
from mocap.types import Array, Camera

ASSETS = Path(mocap.assets.__file__).parent
CLIPS = ("demo", "demo_two")
FEET = (JOINT["left_foot"], JOINT["right_foot"])


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest) -> tuple[str, dict[str, Array]]:
    with np.load(ASSETS / f"{request.param}.npz") as data:
        return request.param, dict(data)


def camera_of(truth: dict[str, Array]) -> Camera:
    return Camera(1280, 720, float(truth["focal_px"]), truth["R_world_camera"], truth["p_world_camera"])


def test_video_has_a_frame_for_each_pose(clip: tuple[str, dict[str, Array]]) -> None:
    name, truth = clip
    with av.open(str(ASSETS / f"{name}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (1280, 720, "h264")
        assert float(stream.average_rate) == float(truth["fps"])
        assert sum(1 for _ in container.decode(stream)) == len(truth["t"])


def test_arrays_are_float32_and_as_the_sidecar_says(clip: tuple[str, dict[str, Array]]) -> None:
    name, truth = clip
    note = json.loads((ASSETS / f"{name}.json").read_text())
    assert note["arrays"] == {key: list(value.shape) for key, value in truth.items()}
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in truth.values())


def test_joints_are_projected(clip: tuple[str, dict[str, Array]]) -> None:
    truth, camera = clip[1], camera_of(clip[1])
    np.testing.assert_allclose(camera.to_camera(truth["p_world_joint"]), truth["joints_camera"], atol=1e-4)
    np.testing.assert_allclose(camera.project(truth["joints_camera"]), truth["joints_px"], atol=0.1)
    seen = camera.project(camera.to_camera(truth["landmarks_world_true"]))
    np.testing.assert_allclose(seen, truth["landmarks_px"], atol=0.1)


def test_rotations_give_the_joints(clip: tuple[str, dict[str, Array]]) -> None:
    truth = clip[1]
    for person, rest in enumerate(truth["rest_joints"]):
        skeleton = Skeleton(rest, np.zeros((24, 3, NUM_BETAS), np.float32))
        root = truth["p_world_root"][person]
        joints = skeleton.forward(truth["R_parent_joint"][person], root, np.zeros(NUM_BETAS, np.float32))
        np.testing.assert_allclose(joints, truth["p_world_joint"][person], atol=1e-3)


def test_world_starts_on_the_floor_under_the_first_person(clip: tuple[str, dict[str, Array]]) -> None:
    truth = clip[1]
    np.testing.assert_allclose(truth["p_world_root"][0, 0, [0, 2]], 0, atol=1e-6)
    assert 1.2 <= truth["p_world_camera"][1] <= 1.4
    assert truth["p_world_camera"][2] > 2


def test_everyone_starts_facing_the_camera_with_the_left_hand_at_image_right(
    clip: tuple[str, dict[str, Array]],
) -> None:
    truth = clip[1]
    start = truth["joints_px"][:, :15]
    assert np.all(start[..., JOINT["left_wrist"], 0] > start[..., JOINT["right_wrist"], 0] + 50)
    assert np.all(truth["R_parent_joint"][:, 0, 0, 2, 2] > 0.98)


def test_everybody_stays_in_view(clip: tuple[str, dict[str, Array]]) -> None:
    for points in (clip[1]["joints_px"], clip[1]["landmarks_px"]):
        assert points.min() > 40
        assert points[..., 0].max() < 1240
        assert points[..., 1].max() < 680


def test_standing_feet_are_on_the_floor_and_do_not_slide(clip: tuple[str, dict[str, Array]]) -> None:
    truth = clip[1]
    contact = truth["contact"] > 0.5
    assert 0.4 < contact.mean() < 0.95
    for side, foot in enumerate(FEET):
        p = truth["p_world_joint"][:, :, foot]
        assert np.all(np.abs(p[..., 1][contact[..., side]] - 0.045) < 0.035)
        both = contact[:, 1:, side] & contact[:, :-1, side]
        speed = np.linalg.norm(np.diff(p, axis=1), axis=-1) * truth["fps"]
        assert speed[both].max() < 0.05  # m/s
        swinging = p[..., 1][~contact[..., side]]
        assert swinging.max() > p[..., 1][contact[..., side]].max()


def test_motion_is_smooth(clip: tuple[str, dict[str, Array]]) -> None:
    truth = clip[1]
    acceleration = np.diff(truth["p_world_joint"], 2, axis=1) * float(truth["fps"]) ** 2
    assert np.linalg.norm(acceleration, axis=-1).max() < 60  # m/s²; a walking foot reaches about 40


def test_solo_clip_shows_what_it_promises() -> None:
    with np.load(ASSETS / "demo.npz") as data:
        truth = dict(data)
    joints, R = truth["p_world_joint"][0], truth["R_parent_joint"][0, :, 0]
    still = joints[truth["t"] < 2.2]
    assert np.ptp(still[:, 0], axis=0).max() < 0.05  # stands still at first, for the calibration
    heading = np.degrees(np.arctan2(R[:, 0, 2], R[:, 2, 2]))
    assert heading.max() > 75
    assert abs(heading[-1]) < 10
    assert joints[:, 0, 1].min() < 0.7 * joints[0, 0, 1]  # squat
    forward = joints[:, JOINT["left_wrist"], 2] - joints[:, JOINT["left_shoulder"], 2]
    assert forward[(truth["t"] > 2.2) & (truth["t"] < 4)].max() > 0.4  # left arm raised forward
    assert np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1).sum() > 1.2


def test_second_person_is_hidden_for_some_frames() -> None:
    with np.load(ASSETS / "demo_two.npz") as data:
        nose, depth = data["landmarks_px"][:, :, LANDMARK["nose"]], data["joints_camera"][:, :, 0, 2]
    apart = nose[0, :, 0] - nose[1, :, 0]
    assert apart[0] < -200
    assert apart[-1] > 200
    assert np.all(depth[0][np.abs(apart) < 60] < depth[1][np.abs(apart) < 60] - 0.3)


def test_assets_are_small() -> None:
    sizes = [
        path.stat().st_size for path in ASSETS.iterdir() if path.name.startswith(("demo", "skeleton", "landmarks"))
    ]
    assert len(sizes) == 10
    assert sum(sizes) < 8e6
