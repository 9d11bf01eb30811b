"""Published systems by their papers' protocols: on data sets in each format, with networks that know the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from mocap.errors import MocapError
from mocap.models.network_file import FOLDER
from tests.training.published import evaluation_files as files
from tests.training.published.evaluation_files import BETAS, POSE, SIDE, N, Oracle, R
from training.published.evaluate import PublishedEvaluationConfig, Result, evaluate
from training.published.evaluate_figures import ACCELERATION, FIGURES, MPJPE, PA_MPJPE, PVE
from training.published.independent_tokens import JOINT_ORDER

BETAS32 = torch.from_numpy(BETAS).float()


@pytest.fixture(autouse=True)
def _nothing_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "checkpoints"))


@pytest.fixture
def smpl(tmp_path: Path) -> Path:
    return files.write_smpl(tmp_path / "smpl")


def run(network: nn.Module, system: str, *data: str, **options: Any) -> list[Result]:
    config = PublishedEvaluationConfig(system=system, data=list(data), batch=4, workers=2, **options)  # type: ignore[arg-type]
    return evaluate(config, network, SIDE)


def knows_all() -> Oracle:
    return Oracle({"R": R, "betas": BETAS32})


def assert_none(result: Result, *names: str) -> None:
    """No error, but for rounding."""
    assert result.people == N
    assert result.failed == 0
    assert set(result.mm) == set(names)
    assert all(abs(value) < 1e-3 for value in result.mm.values()), result.mm


def turned(angle: float = 0.4) -> torch.Tensor:
    """Everybody turned about the camera's axis by so many rad, (N, 24, 3, 3)."""
    found = R.clone()
    found[:, 0] = torch.from_numpy(Rotation.from_rotvec([0, 0, angle]).as_matrix()).float() @ R[:, 0]
    return found


def test_tokenhmr_on_3dpw(tmp_path: Path, smpl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    J = files.write_regressor(tmp_path / "SMPL_to_J19.pkl", 19)
    vertices = files.true_vertices(files.neutral(smpl))
    array = np.load(files.write_regressor(tmp_path / "same.npy", 19))
    path = files.write_4d_humans(tmp_path / "3dpw" / "3dpw_test.npz", vertices, array)
    options = {"smpl": str(smpl), "extra_regressor": str(J)}
    (result,) = run(knows_all(), "tokenhmr", f"3dpw={path.parent}", **options)
    assert_none(result, MPJPE, PA_MPJPE, PVE)
    told = capsys.readouterr().out
    assert "TokenHMR (SD + ITW + BL), Table 1" in told
    assert "| MPJPE | 0.0 | 71.0 | 70.5 | 76.2 |" in told

    (result,) = run(Oracle({"R": turned(), "betas": BETAS32}), "tokenhmr", "3dpw", folder=str(tmp_path), **options)
    assert abs(result.mm[PA_MPJPE]) < 1e-3
    points = (array @ vertices.numpy()) - (array @ vertices.numpy())[:, [14]]  # point 39
    chosen = [*range(13), 18]
    far = 2 * np.sin(0.2) * np.linalg.norm(points[:, chosen, :2], axis=-1).mean()  # chords of circles
    assert result.mm[MPJPE] == pytest.approx(1000 * far, rel=1e-3)
    surface = vertices.numpy() - (array @ vertices.numpy())[:, [14]]
    far = 2 * np.sin(0.2) * np.linalg.norm(surface[..., :2], axis=-1).mean()
    assert result.mm[PVE] == pytest.approx(1000 * far, rel=1e-3)
    (result,) = run(Oracle({"vertices": vertices + 1}), "tokenhmr", "3dpw", folder=str(tmp_path), **options)
    assert_none(result, MPJPE, PA_MPJPE, PVE)  # wherever the body is


def test_the_true_mesh_is_of_the_persons_gender(tmp_path: Path) -> None:
    smpl = files.write_smpl(tmp_path / "smpl", (0, 1, 2))
    path = files.write_tokenhmr_emdb(tmp_path / "emdb.npz")
    (result,) = run(knows_all(), "tokenhmr", f"emdb={path}", smpl=str(smpl))
    assert result.mm[PVE] > 10
    (result,) = run(knows_all(), "tokenhmr", f"emdb={path}", smpl=str(smpl), bodies="neutral")
    assert_none(result, MPJPE, PA_MPJPE, PVE)
    assert result.notes == ("true meshes are of neutral bodies",)
    with pytest.raises(MocapError, match=r"expected a folder with SMPL's male file, found .*SMPL_NEUTRAL\.npz\. Get"):
        run(knows_all(), "tokenhmr", f"emdb={path}", smpl=str(smpl / "SMPL_NEUTRAL.npz"))


def test_crops_of_tokenhmr_are_expanded_to_3_by_4(tmp_path: Path) -> None:
    from training.published.evaluate_data import load_people

    scale = np.tile([[15.0, 20.0], [20.0, 20.0]], (N // 2, 1)) / 200  # widths and heights
    path = files.write_tokenhmr_emdb(tmp_path / "emdb.npz", scale=scale)
    sides = [load_people("tokenhmr", "emdb", path, "test", "", 1.2)[row].side_px for row in range(N)]
    np.testing.assert_allclose(sides, [20, 20 * 4 / 3] * (N // 2), rtol=1e-5)


def test_emdb_as_published_is_its_first_part(tmp_path: Path, smpl: Path) -> None:
    for name, first in (("a", True), ("b", False)):
        files.write_emdb(tmp_path / "emdb", name, first)
    network = Oracle({"R": R, "betas": BETAS32[:1].repeat(N, 1)})
    (result,) = run(network, "tokenhmr", f"emdb={tmp_path / 'emdb'}", smpl=str(smpl))
    assert_none(result, MPJPE, PA_MPJPE, PVE)  # N people, not 2 N
    assert "1.2 times as large" in result.notes[0]


def int_points(smpl: Path, J: np.ndarray, of_mesh: list[int], at: list[int]) -> np.ndarray:
    points = np.zeros((N, 49, 4))
    vertices = files.true_vertices(files.neutral(smpl)).numpy()
    points[:, at] = files.with_confidence((J @ vertices)[:, of_mesh])
    return points


H36M_17 = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 0, 7, 9, 10]
VIDEOS = ["a", "a", "a", "b", "b", "b"]


def test_int_takes_clips_by_turns_and_counts_every_frame_once(tmp_path: Path, smpl: Path) -> None:
    J = files.write_regressor(tmp_path / "J_regressor_h36m.npy", 17)
    order = [*H36M_17[:13], 10]
    points = int_points(smpl, np.load(J), order, [*range(25, 39)])
    path = files.write_joblib(tmp_path / "3dpw_test_db.pt", points, VIDEOS)
    options = {"smpl": str(smpl), "h36m_regressor": str(J), "pool": 4, "frames": 2}
    network = knows_all()
    (result,) = run(network, "int", f"3dpw={path}", **options)
    assert_none(result, MPJPE, PA_MPJPE, PVE, ACCELERATION)
    # Each video is filled up to a pool of four backwards; its clips are every other frame.
    asked = np.concatenate(network.asked).tolist()
    assert asked == [[0, 2], [1, 1], [3, 5], [4, 4]]

    # With places of their own, frame by frame, three frames of a video have one acceleration each.
    betas = BETAS32.clone()
    betas[1] += 1
    network = Oracle({"R": R, "betas": betas})
    within, across = (run(network, "int", f"3dpw={path}", across_videos=on, **options)[0].mm for on in (False, True))
    assert within[ACCELERATION] > across[ACCELERATION] > 0  # two of two accelerations, or three of four
    assert within[MPJPE] == across[MPJPE]


def test_int_on_human36m_and_mpi_inf_3dhp(tmp_path: Path, smpl: Path) -> None:
    J = files.write_regressor(tmp_path / "J_regressor_h36m.npy", 17)
    at = [*range(25, 38), 39, 41, 42, 43]
    h36m = files.write_joblib(tmp_path / "h36m_test_db.pt", int_points(smpl, np.load(J), H36M_17, at), VIDEOS)
    extra = files.write_regressor(tmp_path / "J_regressor_extra.npy", 9)
    body = files.neutral(smpl)
    vertices = files.true_vertices(body)
    joints = body.joints(R, body.rest_joints(BETAS32)[:, 0], BETAS32).numpy()
    points = np.zeros((N, 49, 4))
    for point in [*range(25, 39), 39, 41, 43]:
        number = JOINT_ORDER[point]
        place = joints[:, number] if number < 24 else (np.load(extra) @ vertices.numpy())[:, number - 45]
        points[:, point] = files.with_confidence(place)
    mpi = files.write_joblib(tmp_path / "mpii3d_test_db.pt", points, VIDEOS, valid_i=np.array([1, 1, 0, 1, 1, 1]))
    regressors = {"h36m_regressor": str(J), "spin_regressor": str(extra)}
    data = (f"h36m={h36m}", f"mpi_inf_3dhp={mpi}")
    first, second = run(knows_all(), "int", *data, smpl=str(smpl), pool=4, frames=2, **regressors)
    assert_none(first, MPJPE, PA_MPJPE, PVE, ACCELERATION)
    assert second.people == N - 1  # one is not valid, though the clip has it
    assert max(second.mm[name] for name in (MPJPE, PA_MPJPE, PVE)) < 1e-3
    assert [figure.mm[PA_MPJPE] for figure in first.paper] == [39.1, 38.4]
    assert second.paper == ()
    with pytest.raises(MocapError, match=r"--pool: expected a multiple of a clip's 3 frames \(--frames\), found 4"):
        run(knows_all(), "int", data[0], smpl=str(smpl), pool=4, frames=3, **regressors)


def test_vqhps_on_3dpw_as_published(tmp_path: Path, smpl: Path) -> None:
    J = str(files.write_regressor(tmp_path / "J_regressor_h36m.npy", 17))
    files.write_3dpw(tmp_path / "3dpw", valid=(1, 1, 0, 1, 1, 1))
    pose = POSE.copy()
    pose[:, 66:] = 0  # the system has no hands
    vertices = files.true_vertices(files.neutral(smpl), pose, np.tile(BETAS[0], (N, 1)))
    options = {"smpl": str(smpl), "h36m_regressor": J}
    network = Oracle({"vertices": vertices + 3}, lambda found: found["vertices"])  # the mean is taken off
    (result,) = run(network, "vqhps", f"3dpw={tmp_path / '3dpw'}", **options)
    assert result.people == N - 1
    assert all(value < 1e-3 for value in result.mm.values())
    (result,) = run(network, "vqhps", f"3dpw={tmp_path / '3dpw'}", every_frame=True, **options)
    assert result.people == N
    larger = Oracle({"vertices": 1.5 * vertices}, lambda found: found["vertices"])
    (result,) = run(larger, "vqhps", f"3dpw={tmp_path / '3dpw'}", every_frame=True, **options)
    centred = vertices - vertices.mean(1, keepdim=True)
    assert result.mm[PVE] == pytest.approx(500 * float(centred.norm(dim=-1).mean()), rel=1e-4)
    assert result.mm[PA_MPJPE] < 1e-3


def test_postometro_on_metros_labels_and_on_bodies(tmp_path: Path, smpl: Path) -> None:
    J = files.write_regressor(tmp_path / "J_regressor_h36m.npy", 17)
    vertices = files.true_vertices(files.neutral(smpl))
    joints = np.load(J) @ vertices.numpy()
    points = np.zeros((N, 24, 4))
    points[:, [*range(13), 18]] = files.with_confidence(joints[:, [*H36M_17[:13], 10]])
    points[:, 14] = files.with_confidence(joints[:, 0])
    metro = files.write_metro(tmp_path / "metro", points)
    files.write_spin(tmp_path / "3doh" / "3doh_test.npz")
    network = Oracle({"vertices": vertices + 1})
    options = {"smpl": str(smpl), "h36m_regressor": str(J)}
    for result in run(network, "postometro", f"3dpw={metro}", f"3doh={tmp_path / '3doh'}", **options):
        assert_none(result, MPJPE, PA_MPJPE, PVE)
    points[:, 14, 0] += 0.1
    metro = files.write_metro(tmp_path / "other", points)
    hips, pelvis = (run(network, "postometro", f"3dpw={metro}", hips=on, **options)[0].mm for on in (True, False))
    assert hips[MPJPE] < 1e-3  # the labels' pelvis is of no account ...
    assert pelvis[MPJPE] == pytest.approx(100, rel=1e-4)  # ... unless it is the origin
    metro = files.write_metro(tmp_path / "none", points, has_smpl=0)
    (result,) = run(network, "postometro", f"3dpw={metro}", **options)
    assert np.isnan(result.mm[PVE])
    assert result.mm[MPJPE] < 1e-3


def test_what_is_not_finite_is_counted_and_in_no_mean(
    tmp_path: Path, smpl: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = files.write_tokenhmr_emdb(tmp_path / "emdb.npz")
    broken = R.clone()
    broken[2, 5, 0, 0] = np.nan
    broken[4, 0, 0, 0] = np.inf
    page = tmp_path / "out" / "page.md"
    network = Oracle({"R": broken, "betas": BETAS32})
    (result,) = run(network, "tokenhmr", f"emdb={path}", smpl=str(smpl), output=str(page))
    assert (result.people, result.failed) == (N, 2)
    assert all(abs(value) < 1e-3 for value in result.mm.values())
    assert f"not finite for 2 of {N} people" in caplog.text
    assert "**The network failed for 2 of them; they are not in the means.**" in page.read_text(encoding="utf-8")
    assert str(page) in capsys.readouterr().out
    (result,) = run(Oracle({"R": R * np.nan, "betas": BETAS32}), "tokenhmr", f"emdb={path}", smpl=str(smpl),
                    output=str(page))  # fmt: skip
    assert (result.failed, np.isnan(list(result.mm.values())).all()) == (N, True)
    found = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["results"][0]["mm"] == {MPJPE: None, PA_MPJPE: None, PVE: None}
    assert "| MPJPE | – | 91.7 |" in page.read_text(encoding="utf-8")


@pytest.mark.shared
def test_the_papers_figures_are_in_the_papers(shared: Path) -> None:
    """All figures of a row are in one line of a paper."""
    lines = [line for path in (shared / "papers").glob("*.txt") for line in path.read_text().splitlines()]
    for rows in FIGURES.values():
        for figure in rows:
            written = [(f"{value:.1f}", f"{value:.2f}") for value in figure.mm.values()]
            assert any(all(any(text in line for text in number) for number in written) for line in lines), figure
