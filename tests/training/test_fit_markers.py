"""Markers of a moving open body give back its pose and shape; bad input is refused, or dropped and counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("ezc3d")

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT
from mocap.errors import MocapError
from tests.training.datasets.small_c3d import Walker, to_z_up, write_c3d
from training.datasets.c3d import Markers
from training.datasets.fitted import read_fitted
from training.fit_markers import (
    Fitted,
    Options,
    calibration_frames,
    fit_folder,
    fit_recording,
    main,
    of_marker_set,
    trimmed,
)
from training.marker_model import MARKER_SETS, MarkerModel, load_marker_set
from training.marker_shape import fit_subject, start
from training.marker_solver import Observation, Settings, evaluate, fit_poses, moved, normal_equations

VICON = MARKER_SETS / "vicon41.yaml"
FRAMES = 24


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the command line does: threads only slow these small matrices down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> MarkerModel:
    return MarkerModel.create(load_marker_set(VICON))


@pytest.fixture(scope="module")
def walker(model: MarkerModel) -> Walker:
    return Walker.create(model, FRAMES)


def markers_of(model: MarkerModel, points: np.ndarray) -> Markers:
    return Markers("walk", "anna", 30.0, model.markers.labels, points)


def spoiled(model: MarkerModel, points: np.ndarray) -> np.ndarray:
    """With 2 mm noise, 15 % of the markers not seen, and left and right wrist swapped for a third of the time."""
    rng = np.random.default_rng(1)
    points = points + 0.002 * rng.standard_normal(points.shape)
    pair = [model.markers.labels.index(label) for label in ("LWRA", "RWRA")]
    points[8:16, pair] = points[8:16, pair[::-1]]
    points[rng.random(points.shape[:2]) < 0.15] = np.nan
    return points


def joint_errors_mm(fitted: Fitted, walker: Walker) -> np.ndarray:
    return 1000 * np.linalg.norm(fitted.point.posed.joints.numpy() - walker.joints, axis=-1)


def test_a_known_subject_is_posed_to_millimetres(model: MarkerModel, walker: Walker) -> None:
    fitted = fit_recording(model, walker.subject, markers_of(model, walker.points))
    assert joint_errors_mm(fitted, walker).mean() < 4
    assert 1000 * np.median(fitted.residual) < 2.5
    assert fitted.valid.all()
    assert fitted.exchanged == ()


def test_noise_gaps_and_swapped_labels(model: MarkerModel, walker: Walker) -> None:
    fitted = fit_recording(model, walker.subject, markers_of(model, spoiled(model, walker.points)))
    assert joint_errors_mm(fitted, walker).mean() < 6
    assert joint_errors_mm(fitted, walker).max() < 50
    assert fitted.valid.all()
    swapped = fitted.residual[8:16, model.markers.labels.index("LWRA")]
    assert np.nanmin(swapped) > 0.1  # the pose does not follow the wrong label, and the residual shows it
    assert np.isnan(fitted.residual[~fitted.markers.seen]).all()


def test_labels_swapped_throughout_are_found(model: MarkerModel, walker: Walker) -> None:
    right = markers_of(model, walker.points)
    fitted = fit_recording(model, walker.subject, right.exchange("LWRA", "LWRB"))
    assert fitted.exchanged == ("LWRA-LWRB",)
    np.testing.assert_array_equal(fitted.markers.points, right.points)
    assert joint_errors_mm(fitted, walker).mean() < 4


def test_shape_and_marker_places_of_an_unknown_subject(model: MarkerModel) -> None:
    long = Walker.create(model, 120, seed=3)
    points = long.points[::8]
    subject = fit_subject(model, points)
    sizes = [np.ptp(model.skin.shaped(betas), axis=0) for betas in (subject.betas, long.subject.betas)]
    np.testing.assert_allclose(sizes[0][:2], sizes[1][:2], rtol=0.03)  # arm span and height
    rig = model.rig(subject.betas, subject.offset)
    seen = Observation.create(points, model.markers.sigma)
    point = fit_poses(rig, seen, *start(model, subject, points), Settings(steps=20, robust=3.0))
    joints = 1000 * np.linalg.norm(point.posed.joints.numpy() - long.joints[::8], axis=-1)
    assert joints.mean() < 15
    assert 1000 * np.median(np.linalg.norm(point.posed.markers.numpy() - points, axis=-1)) < 4


def test_soles_are_level_where_the_feet_stand(model: MarkerModel) -> None:
    """Someone stands and moves the arms, with markers on heeled shoes: as if the feet pitched by 8 degrees."""
    person = Walker.create(model, 30, seed=5)
    R, root = person.R.copy(), np.repeat(person.root[:1], 30, 0)
    R[:, :12] = np.eye(3)
    ankles = [JOINT["left_ankle"], JOINT["right_ankle"]]
    R[:, ankles] = axis_angle_to_matrix(np.radians([8.0, 0.0, 0.0]))
    rig = model.rig(person.subject.betas, person.subject.offset)
    points = rig.forward(torch.from_numpy(R), torch.from_numpy(root)).markers.numpy()
    subject = fit_subject(model, points)
    seen = Observation.create(points, model.markers.sigma)
    begin = start(model, subject, points)
    found = fit_poses(model.rig(subject.betas, subject.offset), seen, *begin, Settings(20, 3.0))
    up = found.posed.G[:, ankles, 1].numpy()  # the world's up as the ankles see it
    assert np.degrees(np.arccos(up[..., 1])).max() < 1.5
    feet = [i for i, label in enumerate(model.markers.labels) if label[1:] in ("HEE", "TOE", "MT5")]
    errors = np.linalg.norm(found.posed.markers.numpy() - points, axis=-1)
    assert errors[:, feet].max() < 0.004  # the markers are where they were


def test_derivatives_of_markers_agree_with_differences(model: MarkerModel, walker: Walker) -> None:
    rig = model.rig(walker.subject.betas, walker.subject.offset)
    R, root = torch.from_numpy(walker.R[:2]), torch.from_numpy(walker.root[:2])
    posed = rig.forward(R, root)
    J, small = rig.jacobian(posed), 1e-6
    for column in (0, 4, 14, 23, 38, 57, 65, 66, 68):
        step = torch.zeros(2, 69, dtype=torch.float64)
        step[:, column] = small
        turn = axis_angle_to_matrix(step[:, :66].reshape(2, 22, 3).numpy())
        after = rig.forward(R @ torch.from_numpy(turn), root + step[:, 66:]).markers
        assert torch.allclose(((after - posed.markers) / small).flatten(1), J[..., column], atol=1e-5)


def test_derivatives_of_shape_and_places_agree_with_differences(model: MarkerModel, walker: Walker) -> None:
    R, root = torch.from_numpy(walker.R[:2]), torch.from_numpy(walker.root[:2])
    rig = model.rig(walker.subject.betas, walker.subject.offset)
    posed = rig.forward(R, root)
    J, small = rig.shape_jacobian(posed, model), 1e-6
    values = np.concatenate([walker.subject.betas, walker.subject.offset.ravel()])
    for column in (0, 3, 9, 10, 30, 60, len(values) - 1):
        changed = values.copy()
        changed[column] += small
        after = model.rig(changed[:10], changed[10:].reshape(-1, 3)).forward(R, root).markers
        assert torch.allclose(((after - posed.markers) / small).flatten(1), J[..., column], atol=1e-5)


def test_the_gradient_is_that_of_the_energy(model: MarkerModel, walker: Walker) -> None:
    rig = model.rig(walker.subject.betas, walker.subject.offset)
    seen = Observation.create(spoiled(model, walker.points)[:3], model.markers.sigma)
    none, small = torch.zeros(69, dtype=torch.float64), 1e-5
    turned = walker.R[:3] @ axis_angle_to_matrix(0.1 * np.random.default_rng(2).standard_normal((3, 22, 3)))
    point = evaluate(rig, seen, torch.from_numpy(turned), torch.from_numpy(walker.root[:3] + 0.02), 3.0, none)
    _, gradient = normal_equations(rig, seen, point)
    for column in (1, 5, 13, 31, 40, 55, 67):
        step = torch.zeros(3, 69, dtype=torch.float64)
        step[:, column] = small
        up, down = (evaluate(rig, seen, *moved(point, way * step), 3.0, none).energy for way in (1, -1))
        slope = (up - down) / (4 * small)  # ours are half gradients
        assert torch.allclose(slope, gradient[:, column], rtol=2e-3, atol=2e-2)


def test_frames_together_are_frames_one_by_one(model: MarkerModel, walker: Walker) -> None:
    rig = model.rig(walker.subject.betas, walker.subject.offset)
    points = spoiled(model, walker.points)[::6]
    R, root = start(model, walker.subject, points)
    all_steps = Settings(steps=8, robust=3.0, enough=0.0)
    together = fit_poses(rig, Observation.create(points, model.markers.sigma), R, root, all_steps)
    for i in range(len(points)):
        seen = Observation.create(points[i : i + 1], model.markers.sigma)
        alone = fit_poses(rig, seen, R[i : i + 1], root[i : i + 1], all_steps)
        assert torch.allclose(alone.R[0], together.R[i], atol=1e-7)
        assert torch.allclose(alone.root[0], together.root[i], atol=1e-7)


def test_frames_with_too_few_markers_or_without_a_fit_are_not_valid(model: MarkerModel, walker: Walker) -> None:
    points = walker.points.copy()
    points[10, 8:] = np.nan
    points[15] += np.random.default_rng(3).normal(0, 0.4, points[15].shape)
    fitted = fit_recording(model, walker.subject, markers_of(model, points))
    assert np.flatnonzero(~fitted.valid).tolist() == [10, 15]


def test_ends_that_see_too_little_are_cut(model: MarkerModel, walker: Walker) -> None:
    points = walker.points.copy()
    points[:3, :20], points[-2:, :20], points[10] = np.nan, np.nan, np.nan
    cut = trimmed(markers_of(model, points))
    np.testing.assert_array_equal(cut.points, points[3:-2])
    points[4:] = np.nan
    with pytest.raises(MocapError, match=r"walk: expected at least 5 frames .* found 1;"):
        trimmed(markers_of(model, points))


def test_calibration_frames_hold_the_rare_pose(model: MarkerModel, walker: Walker) -> None:
    still = np.repeat(walker.points[:1], 300, 0)
    still[177] = walker.points[-1]
    frames = calibration_frames([markers_of(model, still)], 10)
    assert len(frames) <= 10
    assert (frames == walker.points[-1]).all((1, 2)).any()


def test_unknown_labels_are_named(model: MarkerModel, walker: Walker) -> None:
    markers = markers_of(model, walker.points)
    foreign = replace(markers, labels=("LFHD", *(f"M{i:02d}" for i in range(1, 41))))
    with pytest.raises(MocapError, match=r"walk: expected .* vicon41, found .*M01, M02.*missing: .*LBHD.*--marker-set"):
        of_marker_set(foreign, model.markers)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{moves_with: hed, from: {head: 1}, ray: [0, 0, 1]}", "LX: expected SMPL's joint names, found 'hed'"),
        ("{moves_with: head, ray: [0, 0, 1]}", "LX: expected moves_with, from, ray"),
        ("{moves_with: head, from: {head: 1}, ray: [0, 0, 1], colour: red}", "LX: expected .*found colour"),
        ("{moves_with: head, from: {head: 1}, ray: [0, 0]}", "LX: .*three numbers"),
        ("{moves_with: head, from: {head: 1}, offset: [9, 0, 0], ray: [0, 0, 1]}", "LX: its ray does not meet"),
    ],
)
def test_mistakes_in_a_marker_set(tmp_path: Path, model: MarkerModel, entry: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nradius: 0.01\nmarkers:\n  LX: {entry}\n")
    with pytest.raises(MocapError, match=message):
        MarkerModel.create(load_marker_set(path), model.skin)


def test_a_file_that_is_no_marker_set(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\n")
    (tmp_path / "b.yaml").write_text("name: [a\n")
    for name, message in (("a", "expected name, radius and markers"), ("b", "YAML"), ("none", "found no file")):
        with pytest.raises(MocapError, match=message):
            load_marker_set(tmp_path / f"{name}.yaml")


def test_the_right_side_mirrors_the_left(model: MarkerModel) -> None:
    at = model.skin.vertices[model.place]
    for label in model.markers.labels:
        if label.startswith("L"):
            left, right = (at[model.markers.labels.index(side + label[1:])] for side in "LR")
            np.testing.assert_allclose(left * (-1, 1, 1), right, atol=0.02, err_msg=label)


@pytest.fixture
def folder(tmp_path: Path, model: MarkerModel, walker: Walker) -> Path:
    """A recording with an extra marker, one with other labels and a torn one."""
    recordings = tmp_path / "in"
    recordings.mkdir()
    points = np.concatenate([walker.points, walker.points[:, :1]], 1)
    labels = [f"Anna:{label}" for label in (*model.markers.labels, "BOX1")]
    write_c3d(recordings / "walk.c3d", labels, to_z_up(points), 30.0)
    write_c3d(recordings / "other.c3d", [f"M{i}" for i in range(42)], to_z_up(points), 30.0)
    (recordings / "torn.c3d").write_bytes((recordings / "walk.c3d").read_bytes()[:900])
    return recordings


def test_a_folder_to_the_end_and_again(tmp_path: Path, folder: Path, model: MarkerModel, walker: Walker) -> None:
    out = tmp_path / "out"
    summary = fit_folder(folder, out, Options("studio_2", frames=10))
    assert summary["actors"]["anna"]["files"] == 1
    assert summary["actors"]["anna"]["invalid_frames"] == 0
    assert summary["all"]["median_mm"] < 5
    assert set(summary["failed"]) == {"other.c3d", "torn.c3d"}
    assert summary["ignored_labels"] == {"BOX1": 1}
    assert json.loads((out / "summary.json").read_text()) == summary
    (motion,) = read_fitted(out)
    assert (motion.name, motion.source, motion.subject) == ("walk", "studio_2", "studio/anna")
    np.testing.assert_allclose(motion.p_world_root, walker.root, atol=0.04)
    written = (out / "anna" / "walk.npz").stat().st_mtime_ns
    assert fit_folder(folder, out, Options("studio_2", frames=10)) == summary
    assert (out / "anna" / "walk.npz").stat().st_mtime_ns == written  # what is done is not done again


def test_what_the_command_line_refuses(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "walk.c3d").unlink()
    (tmp_path / "empty").mkdir()
    out = ["--source", "mine", "--out", str(tmp_path / "out")]
    for arguments, message in (
        ([str(tmp_path / "empty"), *out], "found none in"),
        ([str(folder), *out, "--fps", "0"], "frame rate above 0"),
        ([str(folder), *out], "found none of 2; the first: other: expected"),
        ([str(folder), *out, "--marker-set", "none.yaml"], "found no file none.yaml"),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_recording_of_nonsense_is_not_written(tmp_path: Path, folder: Path, model: MarkerModel) -> None:
    labels = [f"Anna:{label}" for label in model.markers.labels]
    nonsense = np.random.default_rng(0).uniform(500, 2000, (FRAMES, len(labels), 3))
    write_c3d(folder / "nonsense.c3d", labels, nonsense, 30.0)
    subjects = tmp_path / "out" / "subjects"
    subjects.mkdir(parents=True)
    offset = model.protocol_offset()
    np.savez(subjects / "anna.npz", betas=np.zeros(10), offset=offset, labels=np.array(model.markers.labels))
    summary = fit_folder(folder, tmp_path / "out", Options("mine"))
    assert "no frame could be fitted" in summary["failed"]["nonsense.c3d"]
    assert [motion.name for motion in read_fitted(tmp_path / "out")] == ["walk"]


def test_a_subject_of_another_marker_set(tmp_path: Path, folder: Path, model: MarkerModel) -> None:
    (tmp_path / "out" / "subjects").mkdir(parents=True)
    np.savez(tmp_path / "out" / "subjects" / "anna.npz", betas=np.zeros(10), offset=np.zeros((1, 3)), labels=["A"])
    with pytest.raises(MocapError, match="made with another marker set than vicon41; delete"):
        fit_folder(folder, tmp_path / "out", Options("mine"))


@pytest.mark.shared
def test_a_real_recording(shared: Path, tmp_path: Path) -> None:
    """The actor lies down from a crouch: the target is a median of 20 mm, 12 mm are expected."""
    (tmp_path / "in").mkdir()
    source = shared / "mocap" / "c3d" / "Male2-Crouch_to_lie.c3d"
    (tmp_path / "in" / source.name).symlink_to(source)
    summary = fit_folder(tmp_path / "in", tmp_path / "out", Options("accad_c3d", frames=24))
    assert summary["all"]["median_mm"] < 12
    motions = read_fitted(tmp_path / "out")
    assert {motion.subject for motion in motions} == {"accad/male2"}
    heights = np.concatenate([motion.p_world_root[:, 1] for motion in motions])
    assert heights.max() > 0.35
    assert heights.min() < 0.25
