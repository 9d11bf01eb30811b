"""Published networks in the live loop, with a network that says what it is told to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import engines
from mocap.assets import asset_path
from mocap.body.mesh_fit import MeshFit
from mocap.body.rotations import geodesic_angle
from mocap.body.smpl_file import read_smpl
from mocap.models.image_regressor import ImageRegressor, frame_from_square, ray_rotation, square_around
from mocap.types import Frame
from tests.models.small_capture import CAMERA, person

SPEC = engines.EngineSpec({"image": engines.TensorSpec((64, 64, 3))}, ("R", "betas"), 2)
FACING = Rotation.from_euler("x", 180, degrees=True).as_matrix().astype(np.float32)  # upright, towards the camera


def saying(outputs: dict[str, np.ndarray], seen: list[np.ndarray]) -> engines.Engine:
    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(inputs["image"])
        return outputs

    return engines.Engine("told", "eager", SPEC, run)


def poses(count: int) -> dict[str, np.ndarray]:
    R = np.tile(np.eye(3, dtype=np.float32), (count, 24, 1, 1))
    R[:, 0] = FACING
    return {"R": R, "betas": np.zeros((count, 10), np.float32)}


def frame() -> Frame:
    rgb = np.zeros((720, 1280, 3), np.uint8)
    rgb[..., 0] = np.linspace(0, 255, 1280)  # red tells the column
    return Frame(0, 0.0, rgb)


def test_who_faces_a_level_camera_is_not_turned() -> None:
    """But for the direction in which a person stands."""
    someone, seen = person(0), []
    (found,) = ImageRegressor(saying(poses(1), seen))(frame(), [someone], CAMERA)
    x, y, _ = square_around(someone, 1.2)
    off = np.arctan(np.hypot(x - CAMERA.center_px[0], y - CAMERA.center_px[1]) / CAMERA.focal_px)
    assert geodesic_angle(found.R_parent_joint[0], np.eye(3)) == pytest.approx(off, abs=1e-3)
    assert found.track_id == someone.track_id
    assert np.allclose(found.R_parent_joint[1:], np.eye(3))


def test_the_network_sees_an_upright_square_around_each_person() -> None:
    people, seen = [person(0), replace(person(1), track_id=5)], []
    found = ImageRegressor(saying(poses(2), seen), margin=1.5)(frame(), people, CAMERA)
    assert [one.track_id for one in found] == [people[0].track_id, 5]
    (image,) = seen
    assert image.shape == (2, 64, 64, 3)
    for picture, one in zip(image, people, strict=True):
        x, y, side = square_around(one, 1.5)
        columns = frame_from_square((x, y, side), 64)[0, 2] + np.arange(64) * side / 64
        inside = (columns > 2) & (columns < 1277)
        middle = picture[32, inside, 0]
        assert np.abs(middle - columns[inside] / 1279).max() < 0.02 or y > 720


def test_the_ray_is_where_the_crop_is() -> None:
    R = ray_rotation((CAMERA.center_px[0] + CAMERA.focal_px, CAMERA.center_px[1]), CAMERA)
    np.testing.assert_allclose(R @ [0, 0, 1], np.array([1, 0, 1]) / np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(ray_rotation(CAMERA.center_px, CAMERA), np.eye(3), atol=1e-7)


def test_a_mesh_becomes_rotations_and_what_is_not_finite_stays_so() -> None:
    body = read_smpl(asset_path("open_body.npz"))
    vertices = np.stack([body.v_template @ FACING.T, np.full_like(body.v_template, np.nan)])
    people = [person(0), replace(person(0), track_id=3)]
    regressor = ImageRegressor(saying({"vertices": vertices}, []), mesh_fit=MeshFit(body))
    good, broken = regressor(frame(), people, CAMERA)
    expected = poses(1)["R"][0, 1:]
    assert np.degrees(geodesic_angle(good.R_parent_joint[1:], expected)).max() < 1
    assert np.abs(good.betas).max() < 0.1
    assert np.isnan(broken.R_parent_joint).all()


def test_a_person_of_whom_little_is_seen_is_looked_for_in_the_tracked_square() -> None:
    hidden = replace(person(0), visibility=np.zeros(33, np.float32))
    assert square_around(hidden, 1.2) == (*hidden.roi.center_px, hidden.roi.size_px)
    assert ImageRegressor(saying(poses(1), []))(frame(), [], CAMERA) == []


def test_a_clip_is_made_of_frames_some_time_apart() -> None:
    """Of a network that hands on the number of the frame as its tokens."""
    inputs = {"image": (64, 64, 3), "past": (3, 24, 2), "known": (3,)}
    spec = engines.EngineSpec({name: engines.TensorSpec(shape) for name, shape in inputs.items()}, ("R",), 2)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    spoilt = {41}

    def run(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append((given["past"][:, :, 0, 0].copy(), given["known"].copy()))
        tokens = np.full((len(given["image"]), 24, 2), len(seen) - 1, np.float32)
        if len(seen) in spoilt:
            tokens[:] = np.nan
        return {**poses(len(tokens)), "tokens": tokens}

    regressor = ImageRegressor(engines.Engine("told", "eager", spec, run))
    for index in range(45):
        regressor(replace(frame(), t_capture=index / 30), [person(0)], CAMERA)
    regressor(replace(frame(), t_capture=10.0), [person(0)], CAMERA)
    assert not seen[3][1].any()
    assert seen[8][1].tolist() == [[0, 0, 1]]
    assert seen[8][0].tolist() == [[0, 0, 0]]
    assert seen[30][0].tolist() == [[6, 14, 22]]
    assert not seen[41][1].any()  # after tokens that are not finite nothing is known
    assert not seen[45][1].any()  # nor after a silence
    spoilt.clear()
    for fps in (15, 60):
        seen.clear()
        for index in range(fps + 1):
            regressor(replace(frame(), t_capture=20 + index / fps), [person(1, 7)], CAMERA)
        ages = (len(seen) - 1 - seen[-1][0][0]) / fps
        np.testing.assert_allclose(ages, [24 / 30, 16 / 30, 8 / 30], atol=1 / fps)
        regressor(replace(frame(), t_capture=30.0), [], CAMERA)


def test_a_wide_pose_lies_in_what_the_network_sees() -> None:
    px = np.zeros((33, 3), np.float32)
    px[:, 0], px[:, 1] = np.linspace(300, 900, 33), np.linspace(300, 400, 33)
    wide = replace(person(0), landmarks_px=px, visibility=np.ones(33, np.float32))
    x, _, side = square_around(wide, 1.2, aspect=0.75)
    assert x - 0.75 * side / 2 < 300
    assert x + 0.75 * side / 2 > 900
    assert square_around(wide, 1.2)[2] == pytest.approx(720)


def test_a_mesh_that_is_no_body_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    body = read_smpl(asset_path("open_body.npz"))
    fit = MeshFit(body)
    monkeypatch.setattr(np.linalg, "solve", lambda *_: (_ for _ in ()).throw(np.linalg.LinAlgError("singular")))
    (found,) = ImageRegressor(saying({"vertices": 0 * body.v_template[None]}, []), mesh_fit=fit)(
        frame(), [person(0)], CAMERA
    )
    assert np.isnan(found.R_parent_joint).all()
