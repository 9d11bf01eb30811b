"""Limb lengths give a shape that has them, for the open body and for SMPL's file."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.limb_lengths import LIMBS, MAX_BETA, betas_from_lengths, limb_lengths
from mocap.body.model import load_body
from mocap.body.skeleton import JOINT, Skeleton, load_skeleton
from mocap.errors import MocapError
from tests.body.small_body import Fields, python2_pickle, random_body

pytest.importorskip("smplx")


@pytest.fixture(scope="module", params=["open body", "SMPL's file"])
def skeleton(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Skeleton:
    if request.param == "open body":
        return load_body().skeleton()
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"
    path.write_bytes(python2_pickle(another_body()))
    return load_body(path).skeleton()


def another_body() -> Fields:
    """Another body in SMPL's format: a vertex at each joint, shifted joints and other directions."""
    fields, rng = random_body(), np.random.default_rng(3)
    fields["J_regressor"] = np.eye(24, 60)
    fields["v_template"][:24] = load_skeleton().mean * 1.07 + rng.normal(0, 0.01, (24, 3))
    fields["shapedirs"][:24] = rng.normal(0, 0.01, (24, 3, 10))
    return fields


def test_lengths_are_those_of_the_joints() -> None:
    skeleton = load_skeleton()
    joints = skeleton.rest_joints(np.zeros(10))
    thigh = np.linalg.norm(joints[JOINT["left_knee"]] - joints[JOINT["left_hip"]])
    assert limb_lengths(joints)[list(LIMBS).index("thigh")] == pytest.approx(thigh, abs=1e-4)
    assert limb_lengths(np.stack([joints, 2 * joints])).shape == (2, len(LIMBS))


def test_shape_found_from_lengths_has_them(skeleton: Skeleton) -> None:
    betas = np.random.default_rng(0).normal(0, 1, (50, 10))
    wanted = limb_lengths(skeleton.rest_joints(betas))
    found = betas_from_lengths(skeleton, wanted, spread_m=0.001)
    error = np.abs(limb_lengths(skeleton.rest_joints(found)) - wanted)
    assert error.mean() < 0.001
    assert error.max() < 0.006
    # Damped: of all shapes with these lengths, one no stranger than the one they came from.
    assert (np.linalg.norm(found, axis=-1) <= np.linalg.norm(betas, axis=-1) + 1e-6).all()


def test_batch_equals_single(skeleton: Skeleton) -> None:
    wanted = limb_lengths(skeleton.rest_joints(np.random.default_rng(1).normal(0, 1, (4, 10))))
    single = np.stack([betas_from_lengths(skeleton, one) for one in wanted])
    np.testing.assert_allclose(betas_from_lengths(skeleton, wanted.reshape(2, 2, -1)).reshape(4, -1), single, atol=1e-9)


def test_it_is_the_minimum(skeleton: Skeleton) -> None:
    wanted = limb_lengths(skeleton.rest_joints(np.random.default_rng(2).normal(0, 1, 10)))

    def cost(betas: np.ndarray) -> float:
        residual = (limb_lengths(skeleton.rest_joints(betas)) - wanted) / 0.005
        return float((residual**2).sum() + (betas**2).sum())

    best = betas_from_lengths(skeleton, wanted)
    steps = np.concatenate([0.01 * np.eye(10), -0.01 * np.eye(10)])
    assert all(cost(best) < cost(best + step) for step in steps)


def test_limbs_not_measured_are_left_to_the_population(skeleton: Skeleton) -> None:
    mean = limb_lengths(skeleton.rest_joints(np.zeros(10)))
    betas = betas_from_lengths(skeleton, {"thigh": mean[2] + 0.02})
    found = limb_lengths(skeleton.rest_joints(betas))
    assert found[2] == pytest.approx(mean[2] + 0.02, abs=0.003)
    np.testing.assert_allclose(
        betas, betas_from_lengths(skeleton, np.where(np.arange(8) == 2, mean + 0.02, np.nan)), atol=1e-9
    )


def test_a_longer_body_is_taller() -> None:
    skeleton = load_skeleton()
    mean = limb_lengths(skeleton.rest_joints(np.zeros(10)))
    assert betas_from_lengths(skeleton, 1.05 * mean)[0] > 0.2
    assert betas_from_lengths(skeleton, 0.7 * mean)[0] < -1.0
    assert np.abs(betas_from_lengths(skeleton, np.full(8, 1.4))).max() <= MAX_BETA


@pytest.mark.parametrize("lengths", [{"tail": 0.4}, {}, {"thigh": 42.0}, {"thigh": -0.4}, {"thigh": 0.0}])
def test_lengths_that_no_limb_has_raise(lengths: dict[str, float]) -> None:
    with pytest.raises(MocapError, match="expected limb"):
        betas_from_lengths(load_skeleton(), lengths)
