"""TokenHMR's filters leave out what they name, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.errors import MocapError
from training.datasets.images.filters import Limits, PosePrior, filtered
from training.datasets.images.sample import Sample


def sample(confidence: object = 1.0, **more: object) -> Sample:
    points = np.ones((44, 3), np.float32)
    points[:, 2] = confidence
    labels = {"betas": np.full(10, 2.0, np.float32), "R_parent_joint": np.tile(np.eye(3, dtype=np.float32), (24, 1, 1))}
    return Sample(
        "coco", "a", b"", np.zeros(2, np.float32), 1.0, False, joints_2d="44", keypoints_2d=points, **{**labels, **more}
    )  # type: ignore[arg-type]


def test_a_good_sample_stays_as_it_is() -> None:
    one, kept = sample(), filtered(sample())
    assert kept is not None
    np.testing.assert_array_equal(kept.keypoints_2d, one.keypoints_2d)
    assert kept.betas is not None
    assert kept.R_parent_joint is not None


def test_weak_points_are_not_known_and_more_than_four_have_to_be() -> None:
    for strong, stays in ((4, False), (5, True)):
        confidence = np.where(np.arange(44) < strong, 0.3, 0.29)
        kept = filtered(sample(confidence))
        assert (kept is not None) == stays
        if kept is not None:
            assert kept.keypoints_2d is not None
            np.testing.assert_array_equal(kept.keypoints_2d[:, 2] > 0, np.arange(44) < strong)


@pytest.mark.parametrize("together", [True, False])
def test_far_betas_are_not_used_and_the_pose_goes_with_them(together: bool) -> None:
    betas = np.zeros(10, np.float32)
    betas[7] = -3.1
    kept = filtered(sample(betas=betas), Limits(together=together))
    assert kept is not None
    assert kept.betas is None
    assert (kept.R_parent_joint is None) == together


@pytest.mark.parametrize(("error", "stays"), [(None, True), (30_999.0, True), (31_000.0, False), (float("nan"), False)])
def test_fits_that_miss_the_picture_are_left_out(error: float | None, stays: bool) -> None:
    assert (filtered(sample(reprojection_error=error)) is not None) == stays


def turned(joint: int, degrees: float) -> np.ndarray:
    R = np.tile(np.eye(3), (24, 1, 1))
    R[joint] = Rotation.from_rotvec([np.radians(degrees), 0, 0]).as_matrix()
    return R.astype(np.float32)


def test_poses_that_amass_never_has_are_not_used() -> None:
    """A prior of poses around rest: bent by 10° is probable, by 150° is not, except for the feet."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(scale=0.15, size=(4000 * 21, 3))
    prior = PosePrior.from_poses(Rotation.from_rotvec(vectors).as_matrix().reshape(4000, 21, 3, 3), bins=40)
    assert prior.is_probable(turned(18, 10))
    assert not prior.is_probable(turned(18, 150))
    assert prior.is_probable(turned(0, 170))  # the pelvis may point anywhere
    assert prior.is_probable(turned(23, 150))  # hands are not in it
    kept = filtered(sample(R_parent_joint=turned(18, 150)), prior=prior)
    assert kept is not None
    assert kept.R_parent_joint is None
    assert kept.betas is None


def test_the_density_is_one_over_all_joints_and_blurs_as_published() -> None:
    counts = np.zeros((21, 16, 16, 16))
    counts[10, 8, 8, 8] = 5
    volume = (2 * np.pi / 16) ** 3
    for across in (True, False):
        density = PosePrior.from_counts(counts, across).density
        np.testing.assert_allclose(density.sum() * volume, 1, rtol=0.02)
        assert (density[9].max() > 0) == across
        assert density[10, 8, 8, 8] == density.max()


def test_bad_histograms(tmp_path: Path) -> None:
    for counts in (np.zeros((21, 4, 4, 4)), np.ones((20, 4, 4, 4)), np.ones((21, 4, 4, 5)), np.array(3.0)):
        with pytest.raises(MocapError, match=r"expected a histogram of poses \(21, n, n, n\)"):
            PosePrior.from_counts(counts)
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(MocapError, match="expected amass_poses_hist100"):
        PosePrior.read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.ones((21, 4, 4, 4)))
    assert PosePrior.read(tmp_path / "b.npy").density.shape == (21, 4, 4, 4)
