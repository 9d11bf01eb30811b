"""Which joints count and which is the origin, point by point, and what the true bodies are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mocap.body.skeleton import PARENTS
from mocap.body.smpl_file import read_smpl
from tests.body.small_body import random_body
from tests.training.datasets.images.small_files import save_npz
from tests.training.published import evaluation_files as files
from tests.training.published.evaluation_files import BETAS, POSE, SIDE, N, Oracle, R, V
from training.datasets.images.joint_sets import JOINT_SETS
from training.datasets.images.sample import Sample
from training.published.evaluate_bodies import Bodies, posed, read_smplh
from training.published.evaluate_figures import MPJPE, PVE
from training.published.evaluate_protocol import Found, Options, Protocol
from training.published.evaluate_protocols import PROTOCOLS

CPU = torch.device("cpu")
OFF = 0.3  # m, by which a point is moved
LSP = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
# System, data set, regressor and its rows; then rows of it that are compared, those in the middle of which the origin
# is, and the labels' points of these rows (None: the labels are the body).
CASES: list[tuple[str, str, str, int, list[int], list[int], str, list[int]]] = [
    ("tokenhmr", "3dpw", "extra_regressor", 19, [*range(13), 18], [14], "44", [*range(25, 44)]),
    ("int", "3dpw", "h36m_regressor", 17, LSP, [4, 1], "spin49", [*range(25, 39)]),
    ("int", "h36m", "h36m_regressor", 17, [*LSP[:13], 0, 7, 9, 10], [4, 1], "spin49",
     [*range(25, 38), 39, 41, 42, 43]),
    ("postometro", "3dpw", "h36m_regressor", 17, LSP, [4, 1], "", []),
]  # fmt: skip


def one_hot(path: Path, rows: int) -> Path:
    """Joint k is vertex 2 k."""
    array = np.zeros((rows, V))
    array[np.arange(rows), 2 * np.arange(rows)] = 1
    np.save(path, array)
    return path


def sample(joints: str, points: np.ndarray | None, number: int = 0) -> Sample:
    return Sample(
        "3dpw", "one", b"", np.zeros(2, np.float32), 20.0, True, joints_3d=joints or None, keypoints_3d=points,
        R_parent_joint=R[number].numpy(), betas=BETAS[number].astype(np.float32),
    )  # fmt: skip


def protocol(tmp_path: Path, case: Any, **options: Any) -> Protocol:
    system, data, option, rows = case[:4]
    smpl = files.write_smpl(tmp_path / "smpl")
    named = {option: str(one_hot(tmp_path / "J.npy", rows))}
    network = Oracle({"R": R})
    return PROTOCOLS[system](data, network, SIDE, Bodies(smpl, None, CPU), Options(**named, **options))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_each_point_counts_as_the_paper_says(tmp_path: Path, case: Any) -> None:
    """Each point in turn is wrong by OFF: on its own it is a share of the mean; in the origin all are off."""
    _, _, _, rows, compared, origin, joints, labels = case
    measured = protocol(tmp_path, case)
    vertices = files.true_vertices(measured.bodies("neutral"))[:1]
    points = None
    if joints:
        points = np.zeros((len(JOINT_SETS[joints]), 4), np.float32)
        at = compared if len(labels) == len(compared) else [*range(rows)]
        points[labels] = files.with_confidence(vertices[0, [2 * k for k in at]].numpy())
    for k in range(rows):
        wrong = vertices.clone()
        wrong[0, 2 * k, 1] += OFF
        found = measured.compare(Found(wrong), [sample(joints, points)]).errors[MPJPE].item()
        moved = OFF * (np.array(compared) == k)  # each joint by so much ...
        moved = moved - OFF * np.mean(np.array(origin) == k)  # ... and the origin
        assert found == pytest.approx(np.abs(moved).mean(), abs=2e-6), k


def test_emdbs_origin_is_between_the_hips(tmp_path: Path) -> None:
    fields = {**random_body(V), "J_regressor": np.eye(24, V)}
    imported = read_smpl(save_npz(tmp_path / "SMPL_NEUTRAL.npz", fields))
    measured = PROTOCOLS["tokenhmr"]("emdb", Oracle({"R": R}), SIDE, Bodies(None, imported, CPU), Options())
    vertices = files.true_vertices(measured.bodies("neutral"))[:1]
    for joint in range(26):
        wrong = vertices.clone()
        wrong[0, joint, 0] += OFF
        expected = OFF * (np.arange(24) == joint) - OFF / 2 * (joint in (1, 2))
        found = measured.compare(Found(wrong), [sample("", None)]).errors
        assert found[MPJPE].item() == pytest.approx(np.abs(expected).mean(), abs=1e-6), joint
        surface = OFF * (np.arange(V) == joint) - OFF / 2 * (joint in (1, 2))
        assert found[PVE].item() == pytest.approx(np.abs(surface).mean(), abs=1e-6), joint


@pytest.mark.parametrize(
    ("system", "data", "joints", "gender"),
    [
        ("tokenhmr", "emdb", "", "male"),
        ("int", "3dpw", "spin49", "neutral"),
        ("vqhps", "3dpw", "", "male"),
        ("postometro", "3dpw", "spin24", "neutral"),  # METRO's
        ("postometro", "3doh", "spin24", "male"),
    ],
)
def test_the_true_body(tmp_path: Path, system: str, data: str, joints: str, gender: str) -> None:
    """Of a man, the protocol's mesh is the man's or the neutral one; the user may say which."""
    smpl = files.write_smpl(tmp_path / "smpl", (0, 1, 2))
    J = str(files.write_regressor(tmp_path / "J.npy", 17))
    bodies = Bodies(smpl, None, CPU)
    man = replace(sample(joints, np.ones((len(JOINT_SETS[joints]), 4), np.float32) if joints else None), gender="male")
    pose = POSE.copy()
    if system == "vqhps":
        pose[:, 66:] = 0
    for asked in ("protocol", "gendered", "neutral"):
        truth = {"gendered": "male", "neutral": "neutral"}.get(asked, gender)
        measured = PROTOCOLS[system](data, Oracle({}), SIDE, bodies, Options(h36m_regressor=J, bodies=asked))  # type: ignore[arg-type]
        for body in ("male", "neutral"):
            found = measured.compare(Found(files.true_vertices(bodies(body), pose)[:1]), [man])
            assert (found.errors[PVE].item() < 1e-5) is (body == truth)


def test_points_without_confidence_are_left_out_by_int(tmp_path: Path) -> None:
    case = CASES[1]
    measured = protocol(tmp_path, case)
    vertices = files.true_vertices(measured.bodies("neutral"))[:1]
    points = np.zeros((49, 4), np.float32)
    points[case[7]] = files.with_confidence(vertices[0, [2 * k for k in case[4]]].numpy())
    points[25] = [9, 9, 9, 0]  # the right ankle is not known
    assert measured.compare(Found(vertices), [sample("spin49", points)]).errors[MPJPE] < 1e-6


def test_smplh_is_smpl_without_fingers(tmp_path: Path) -> None:
    """SMPL-H's 52 joints with fingers at rest, by its own kinematics, and as we read it."""
    rng = np.random.default_rng(0)
    parents = [*PARENTS[:22], *(p for wrist, first in ((20, 22), (21, 37)) for p in fingers(wrist, first))]
    weights, regressor = rng.uniform(size=(V, 52)) ** 6, rng.uniform(size=(52, V)) ** 4
    fields = {
        "v_template": rng.normal(size=(V, 3)), "shapedirs": rng.normal(0, 0.05, (V, 3, 16)),
        "posedirs": rng.normal(0, 0.05, (V, 3, 459)), "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True), "f": rng.integers(0, V, (9, 3)),
    }  # fmt: skip
    save_npz(tmp_path / "male" / "model.npz", fields)
    turns = np.tile(np.eye(3), (52, 1, 1))
    turns[:22] = R[0, :22].numpy()
    rest = fields["v_template"] + fields["shapedirs"][..., :10] @ BETAS[0]
    joints = fields["J_regressor"] @ rest
    shaped = rest + fields["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    G, places = [turns[0]], [joints[0]]
    for joint in range(1, 52):
        parent = parents[joint]
        places.append(places[parent] + G[parent] @ (joints[joint] - joints[parent]))
        G.append(G[parent] @ turns[joint])
    moved = np.stack([shaped @ G[j].T + places[j] - G[j] @ joints[j] for j in range(52)])
    expected = np.einsum("vj,jvc->vc", fields["weights"], moved)
    body = Bodies(None, read_smplh(tmp_path, "male"), CPU)("neutral")
    still = R[:1].clone()
    still[:, 22:] = torch.eye(3)
    found = posed(body, still, torch.from_numpy(BETAS[:1]).float())
    np.testing.assert_allclose(found[0].numpy(), expected, atol=2e-5)


def fingers(wrist: int, first: int) -> list[int]:
    """Parents of a hand's 15 joints: five chains of three."""
    return [wrist if joint % 3 == 0 else first + joint - 1 for joint in range(15)]


def test_bodies_without_a_file_are_the_imported_one(tmp_path: Path) -> None:
    smpl = files.write_smpl(tmp_path)
    bodies = Bodies(None, read_smpl(smpl, "neutral"), CPU)
    assert bodies("neutral").num_vertices == V
    vertices = bodies.vertices([sample("", None, number) for number in range(N)], gendered=False)
    torch.testing.assert_close(vertices, files.true_vertices(bodies("neutral")))
