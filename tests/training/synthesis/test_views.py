from __future__ import annotations

import torch
from torch import Tensor

from mocap.body.model import load_body
from mocap.body.skeleton import JOINT
from mocap.body.torch_kinematics import with_hands
from mocap.body.torch_rotations import random_rotations
from training.synthesis.views import ViewConfig, random_headings, random_views

COUNT = 400


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def standing(headings: Tensor | None = None) -> Tensor:
    """Joints (COUNT, 24, 3) m of T-poses, each with its heading."""
    root = torch.eye(3).expand(COUNT, 3, 3) if headings is None else headings
    return load_body().joints(with_hands(root[:, None]), torch.tensor([0.3, 0.9, -1.0]), torch.zeros(COUNT, 10))


def test_a_level_camera_sees_a_person_upright_and_unmirrored() -> None:
    joints = standing()
    views = random_views(joints, ViewConfig(tilt_deg=0, roll_deg=0, off_center=0), generator())
    picture = views.project(views.to_camera(joints))
    assert (picture[:, JOINT["head"], 1] < picture[:, JOINT["left_foot"], 1]).all()  # y points down
    assert (picture[:, JOINT["left_wrist"], 0] > picture[:, JOINT["right_wrist"], 0]).all()  # they face the camera
    assert views.pitch.abs().max() < 1e-6


def test_the_wanted_part_fills_the_picture() -> None:
    joints = standing()
    config = ViewConfig(tilt_deg=0, roll_deg=0, off_center=0, least_fill=0.8, most_fill=0.8)
    views = random_views(joints, config, generator())
    up = joints[:, JOINT["head"]] - joints[:, JOINT["neck"]]
    crown = joints[:, JOINT["head"]] + 0.2 * up / up.norm(dim=1, keepdim=True)
    points = torch.cat([joints, crown[:, None]], 1)
    assert (views.to_camera(points)[..., 2] > 0).all()
    picture = views.project(views.to_camera(points))
    legs = [j for name, j in JOINT.items() if any(part in name for part in ("knee", "ankle", "foot"))]
    trunk = [JOINT[name] for name in ("spine2", "spine3", "neck", "head", "left_shoulder", "right_shoulder")]
    parts = (list(range(25)), [j for j in range(25) if j not in legs], [*trunk, 24])
    taken = torch.stack([((p.amax(1) - p.amin(1)) / views.size_px).amax(1) for p in (picture[:, j] for j in parts)], 1)
    fills = (taken - 0.8).abs() < 0.01
    assert fills.any(1).all()
    assert (taken[fills[:, 2], 0] > 1).all()  # in close-ups the whole is cut off
    assert 0.2 < fills[:, 2].float().mean() < 0.3


def test_tilt_looks_down_from_above() -> None:
    joints = standing()
    views = random_views(joints, ViewConfig(tilt_deg=20, roll_deg=0), generator())
    depth = views.to_camera(joints)[..., 2]
    nearer = depth[:, JOINT["head"]] < depth[:, JOINT["left_foot"]]  # seen from above, the head is nearer
    steep = views.pitch.abs() > 0.1
    assert steep.sum() > 200
    assert torch.equal(nearer[steep], views.pitch[steep] > 0)
    assert views.pitch.abs().max() <= torch.deg2rad(torch.tensor(40.0)) + 1e-5


def test_the_camera_is_a_rotation_and_projection_agrees_with_it() -> None:
    joints = standing(random_headings(COUNT, ViewConfig(), generator()))
    views = random_views(joints, ViewConfig(), generator(1))
    R = views.R_camera_world
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand_as(R), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(COUNT), rtol=0, atol=1e-5)
    ahead = views.p_world_camera + 2 * R[:, 2]
    torch.testing.assert_close(
        views.project(views.to_camera(ahead[:, None]))[:, 0], 0.5 * views.size_px, rtol=0, atol=1e-2
    )


def test_most_people_face_the_camera_and_some_do_not() -> None:
    forward = random_headings(2000, ViewConfig(), generator())[:, 2, 2]  # of +Z, where the camera is
    assert 0.55 < (forward > 0.7).float().mean() < 0.8
    assert (forward < -0.7).float().mean() > 0.05


def test_the_same_seed_gives_the_same_views() -> None:
    joints = standing()
    first, again, other = (random_views(joints, ViewConfig(), generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.p_world_camera, again.p_world_camera)
    assert not torch.equal(first.p_world_camera, other.p_world_camera)


def test_any_pose_gives_finite_views() -> None:
    R = random_rotations((COUNT, 24), generator())
    joints = load_body().joints(R, torch.zeros(COUNT, 3), torch.randn(COUNT, 10, generator=generator()))
    views = random_views(joints, ViewConfig(), generator())
    assert torch.isfinite(views.p_world_camera).all()
    assert torch.isfinite(views.project(views.to_camera(joints))).all()
