from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.body.model import load_body
from mocap.body.rotations import axis_angle_to_matrix
from mocap.errors import MocapError
from mocap.models.tokenhmr import RELEASED
from training.datasets.images.filters import PosePrior
from training.datasets.images.sample import Sample
from training.published.points import SmplPoints
from training.published.tokenhmr_samples import Trust, framed, projected, read_prior, with_points

RNG = np.random.default_rng(0)


def sample(dataset: str = "coco", **changes: object) -> Sample:
    points = np.column_stack([RNG.uniform(20, 80, (44, 2)), np.ones(44)]).astype(np.float32)
    pose = axis_angle_to_matrix(0.2 * RNG.normal(size=(24, 3))).astype(np.float32)
    one = Sample(
        dataset, "a", b"", np.full(2, 50, np.float32), 60.0, True, joints_2d="44", keypoints_2d=points,
        R_parent_joint=pose, betas=RNG.normal(size=10).astype(np.float32),
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


def test_labels_of_photographs_are_filtered_and_rendered_ones_are_not() -> None:
    wide = np.full(10, 4, np.float32)
    for dataset in ("coco", "h36m", "insta"):
        found = Trust()(sample(dataset, betas=wide))
        assert found is not None
        assert found.betas is None
    for dataset in ("rendered", "bedlam"):
        found = Trust()(sample(dataset, betas=wide))
        assert found is not None
        np.testing.assert_array_equal(found.betas, wide)
    assert Trust()(sample("coco", reprojection_error=40_000.0)) is None


def test_only_boxes_of_rendered_people_get_a_margin() -> None:
    trust = Trust(margin=1.2)
    for dataset, side in (("rendered", 72.0), ("coco", 60.0), ("bedlam", 60.0)):
        found = trust(sample(dataset))
        assert found is not None
        assert found.side_px == pytest.approx(side)


def test_poses_that_nobody_takes_are_left_out(tmp_path: Path) -> None:
    assert read_prior("") is None
    rare = np.zeros((21, 8, 8, 8))
    rare[:, 0, 0, 0] = 1
    np.save(tmp_path / "rare.npy", rare)
    prior = read_prior(str(tmp_path / "rare.npy"))
    assert isinstance(prior, PosePrior)
    found = Trust(prior=prior)(sample())
    assert found is not None
    assert found.R_parent_joint is None
    with pytest.raises(MocapError, match="amass_poses_hist100"):
        read_prior(str(tmp_path / "none.npy"))


@pytest.mark.parametrize(("width", "height", "side"), [(30, 60, 60), (60, 30, 80), (45, 60, 60), (60, 60, 80)])
def test_evaluation_sees_all_of_the_box(width: float, height: float, side: float) -> None:
    points = np.zeros((44, 3), np.float32)
    points[0], points[1] = [10, 20, 1], [10 + width, 20 + height, 0.5]
    points[2, :2] = 500  # not known
    found = framed(sample(keypoints_2d=points), 1.1)
    assert found.side_px == pytest.approx(1.1 * side)
    np.testing.assert_allclose(found.center_px, [10 + width / 2, 20 + height / 2])
    seen = 0.75 * found.side_px  # the middle columns
    assert width * 1.1 <= seen + 1e-4
    assert framed(sample(joints_2d=None, keypoints_2d=None), 1.1).side_px == pytest.approx(66)


def test_cameras_see_the_body_where_the_crop_shows_it() -> None:
    """A point a metre beside the body is half the crop's side times the scale away, nearly: the camera is far."""
    points = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [0, -0.5, 0.2]]])
    for config in (RELEASED, replace(RELEASED, side=96)):
        depth = 2 * config.focal / (config.side * 0.8)
        found = projected(points, torch.tensor([[0.0, 0.0, depth]]), config)
        torch.testing.assert_close(found, torch.tensor([[[0.0, 0], [0.4, 0], [0, -0.2]]]), atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def smpl() -> SmplPoints:
    """The open body stands for SMPL; the set's other points are vertices."""
    body = load_body()
    return SmplPoints("44", body, torch.zeros(19, body.num_vertices).scatter(1, torch.arange(19)[:, None] * 50, 1.0))


def test_bedlams_points_are_smpls_seen_by_its_camera(smpl: SmplPoints) -> None:
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]], np.float32)
    camera = {"K_camera": K, "t_camera": np.array([0.2, -0.1, 4.0], np.float32)}
    given = sample("bedlam", **camera)
    found = Trust(points=smpl)(given)
    assert found is not None
    assert (found.joints_2d, found.joints_3d) == ("44", "44")
    assert found.keypoints_2d is not None
    assert found.keypoints_3d is not None
    assert (found.keypoints_3d[:, 3] == 1).all()
    space = found.keypoints_3d[:, :3] + camera["t_camera"]
    np.testing.assert_allclose(found.keypoints_2d[:, 0], 500 * space[:, 0] / space[:, 2] + 320, rtol=1e-4)
    np.testing.assert_allclose(found.keypoints_2d[:, 1], 500 * space[:, 1] / space[:, 2] + 240, rtol=1e-4)
    for without in ({"body": "smplx"}, {"betas": None}, {"t_camera": None}, {"K_camera": None}):
        other = replace(given, **without)  # type: ignore[arg-type]
        assert with_points(other, smpl) is other
