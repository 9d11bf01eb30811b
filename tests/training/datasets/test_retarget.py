"""BVH skeletons to SMPL: directions and twist kept for every map, missing joints, swapped sides, unknown skeletons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mocap.body.rotations import geodesic_angle, matrix_to_axis_angle
from mocap.body.skeleton import JOINT, load_skeleton
from mocap.errors import MocapError
from mocap.takes.bvh import write_bvh
from tests.training.datasets.small_motion import ROOT, random_rotations, rest_joints, write_figure
from training.datasets.bvh import read_bvh
from training.datasets.kinematics import body_global_rotations, joint_positions
from training.datasets.retarget import LIMB_BONES, _world, find_map, read_retargeted, rest_pose, retarget
from training.datasets.skeleton_map import REQUIRED, SkeletonMap, load_maps, parse_map

MAPS = {m.name: m for m in load_maps()}
MIXAMO = MAPS["mixamo"]
NEAR_REST = 30.0  # degrees: knees of random poses bend both ways, but little enough not to be taken for swapped legs
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # a file's world from SMPL's
FACING_X = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])


def limb_directions(joints: NDArray) -> NDArray:
    bones = np.stack([joints[:, child] - joints[:, joint] for joint, child in LIMB_BONES], 1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def degrees_between(a: NDArray, b: NDArray) -> NDArray:
    return np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))


def posed(R: NDArray, rest: NDArray) -> NDArray:
    """Joints (T, 22, 3) of the figure that ``write_figure`` writes, in SMPL's world about the pelvis."""
    offsets = rest - rest[[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]]
    return joint_positions(R.astype(np.float64), None, offsets)


@pytest.mark.parametrize(
    ("name", "arms_down"),
    [(name, 0.0) for name in sorted(MAPS) if name != "smpl"]
    + [(name, 45.0) for name in sorted(MAPS) if name != "smpl" and not MAPS[name].axes],  # axes are those of a T-pose
)
def test_limb_bones_point_as_in_the_file_for_every_map(tmp_path: Path, name: str, arms_down: float) -> None:
    skeleton = MAPS[name]
    R, rest = random_rotations(12, degrees=NEAR_REST), rest_joints(arms_down)
    write_figure(tmp_path / "a.bvh", skeleton, R, rest)
    bvh = read_bvh(tmp_path / "a.bvh")
    assert find_map(bvh).name == name
    motion = retarget(bvh)
    found = limb_directions(joint_positions(motion.R_parent_joint))
    assert degrees_between(found, limb_directions(posed(R, rest))).max() < 0.1
    turning = [JOINT[joint] for joint in ("pelvis", "spine3", "head", "left_ankle", "right_foot")]
    turned, expected = body_global_rotations(motion.R_parent_joint)[:, turning], body_global_rotations(R)[:, turning]
    assert np.degrees(geodesic_angle(turned, expected)).max() < 0.1


@pytest.mark.parametrize("arms_down", [0.0, 45.0])
def test_the_rest_pose_of_the_file_is_that_pose_with_straight_wrists_and_flat_feet(
    tmp_path: Path, arms_down: float
) -> None:
    identity = np.tile(np.eye(3, dtype=np.float32), (1, 22, 1, 1))
    write_figure(tmp_path / "a.bvh", MIXAMO, identity, rest_joints(arms_down))
    R = retarget(read_bvh(tmp_path / "a.bvh")).R_parent_joint[0]
    angle = np.degrees(matrix_to_axis_angle(R))
    assert angle[JOINT["left_shoulder"], 2] == pytest.approx(-arms_down, abs=6)  # SMPL's own arms slope by a little
    assert angle[JOINT["right_shoulder"], 2] == pytest.approx(arms_down, abs=6)
    for joint in ("left_wrist", "right_wrist", "pelvis", "spine2", "head", "left_foot", "right_foot"):
        assert np.linalg.norm(angle[JOINT[joint]]) < 1


@pytest.mark.parametrize("name", ["mixamo", "lafan1", "character_creator", "accad"])
@pytest.mark.parametrize("joint", ["left_elbow", "right_elbow", "left_shoulder", "right_hip", "left_knee"])
def test_twist_about_a_bone_is_kept(tmp_path: Path, name: str, joint: str) -> None:
    rest = rest_joints()
    R = np.tile(np.eye(3, dtype=np.float32), (2, 22, 1, 1))
    child = dict(LIMB_BONES)[JOINT[joint]]
    bone = (rest[child] - rest[JOINT[joint]]) / np.linalg.norm(rest[child] - rest[JOINT[joint]])
    R[1, JOINT[joint]] = Rotation.from_rotvec(np.radians(50) * bone).as_matrix()
    write_figure(tmp_path / "a.bvh", MAPS[name], R, rest)
    world = body_global_rotations(retarget(read_bvh(tmp_path / "a.bvh")).R_parent_joint)[:, JOINT[joint]]
    turn = np.degrees(matrix_to_axis_angle(world[1] @ world[0].T))
    np.testing.assert_allclose(turn, 50 * bone, atol=0.1)


@pytest.mark.parametrize("scale", [1.0, 100.0, 39.37])
@pytest.mark.parametrize("world", [np.eye(3), Z_UP, FACING_X])
def test_units_and_world_axes_do_not_matter(tmp_path: Path, scale: float, world: NDArray) -> None:
    R, rest = random_rotations(4, degrees=NEAR_REST), rest_joints()
    write_figure(tmp_path / "a.bvh", MIXAMO, R, rest)
    write_figure(tmp_path / "b.bvh", MIXAMO, R, rest, scale, R_file_world=world)
    plain, other = (retarget(read_bvh(tmp_path / f"{name}.bvh")) for name in "ab")
    np.testing.assert_allclose(other.R_parent_joint, plain.R_parent_joint, atol=1e-4)
    np.testing.assert_allclose(other.p_world_root, plain.p_world_root, atol=1e-3)
    np.testing.assert_allclose(plain.p_world_root[:, 1], ROOT[1], atol=0.1)  # about as high as the figure's pelvis


def test_our_own_bvh_gives_the_same_rotations(tmp_path: Path) -> None:
    R = np.tile(np.eye(3), (10, 24, 1, 1))
    R[:, :22] = random_rotations(10, seed=4, degrees=70)
    root = np.random.default_rng(0).normal(size=(10, 3))
    rest = load_skeleton().rest_joints(np.zeros(10, np.float32))
    for unit in ("m", "cm"):
        path = tmp_path / f"{unit}.bvh"
        write_bvh(path, matrix_to_axis_angle(R), root, np.arange(10) / 30, rest, 30, unit)
        [motion] = read_retargeted(path)
        assert find_map(read_bvh(path)).name == "smpl"
        assert np.degrees(geodesic_angle(motion.R_parent_joint, R[:, :22])).max() < 0.05
        np.testing.assert_allclose(motion.p_world_root, root, atol=1e-4)
        assert motion.fps == 30


def test_without_toes_hands_collars_and_with_one_spine_the_rest_is_as_before(tmp_path: Path) -> None:
    R, rest = random_rotations(8, degrees=NEAR_REST), rest_joints()
    without = ("left_foot", "right_foot", "left_collar", "right_collar", "spine1", "spine2", "neck", "head")
    write_figure(tmp_path / "a.bvh", MIXAMO, R, rest, without=without)
    motion = retarget(read_bvh(tmp_path / "a.bvh"))
    found = limb_directions(joint_positions(motion.R_parent_joint))
    expected = limb_directions(posed(R, rest))
    assert degrees_between(found, expected).max() < 0.1
    for joint in ("left_foot", "right_foot", "left_collar", "head", "neck"):
        np.testing.assert_allclose(motion.R_parent_joint[:, JOINT[joint]], np.tile(np.eye(3), (8, 1, 1)), atol=1e-5)
    spine = motion.R_parent_joint[:, [JOINT["spine1"], JOINT["spine2"], JOINT["spine3"]]]
    assert np.degrees(geodesic_angle(spine[:, :1], spine)).max() < 0.1  # the three share the turn evenly


def test_a_prefix_or_a_namespace_on_every_name_does_not_matter(tmp_path: Path) -> None:
    rest, R = rest_joints(), random_rotations(2, degrees=NEAR_REST)
    names = [names[0] for names in MIXAMO.joints.values()]
    for prefix in ("mixamorig:", "mixamorig2:", "Character1_", "mixamorig"):
        rename = {name: prefix + name for name in names}
        write_figure(tmp_path / "a.bvh", MIXAMO, R, rest, rename=rename)
        assert find_map(read_bvh(tmp_path / "a.bvh")).name == "mixamo"


def test_an_unknown_skeleton_names_the_unmapped_joints(tmp_path: Path) -> None:
    rename = {"LeftLeg": "Bein_L", "RightForeArm": "Unterarm_R"}
    write_figure(tmp_path / "a.bvh", MIXAMO, random_rotations(2), rest_joints(), rename=rename)
    with pytest.raises(MocapError) as caught:
        read_retargeted(tmp_path / "a.bvh")
    for word in ("left_knee (LeftLeg)", "right_elbow (RightForeArm)", "Bein_L", "Unterarm_R", "docs/motion_data.md"):
        assert word in str(caught.value)
    assert "LeftFoot" not in str(caught.value)


def swapped(names: list[str]) -> dict[str, str]:
    other = {"Left": "Right", "Right": "Left"}
    return {name: other[side] + name.removeprefix(side) for name in names for side in other if name.startswith(side)}


def test_swapped_sides_are_found_by_the_toes_or_by_the_knees(tmp_path: Path) -> None:
    R = np.tile(np.eye(3, dtype=np.float32), (30, 22, 1, 1))
    R[:, JOINT["left_knee"]] = Rotation.from_euler("x", np.linspace(0, 90, 30)[:, None], degrees=True).as_matrix()
    rename = swapped([names[0] for names in MIXAMO.joints.values()])
    for without, said in (((), "point to the front"), (("left_foot", "right_foot"), "knees bend to the front")):
        write_figure(tmp_path / "a.bvh", MIXAMO, R, rest_joints(), without=without, rename=rename)
        with pytest.raises(MocapError, match=said):
            retarget(read_bvh(tmp_path / "a.bvh"))
        write_figure(tmp_path / "b.bvh", MIXAMO, R, rest_joints(), without=without)
        retarget(read_bvh(tmp_path / "b.bvh"))


def test_a_zero_pose_that_is_no_pose_is_an_error(tmp_path: Path) -> None:
    odd = replace(MAPS["lafan1"], joints=MAPS["xsens"].joints)  # bones along x under names whose map knows no axes
    write_figure(tmp_path / "a.bvh", odd, random_rotations(2), rest_joints())
    with pytest.raises(MocapError, match="T- or A-pose"):
        retarget(read_bvh(tmp_path / "a.bvh"))


def test_nan_frames_are_dropped_and_counted(tmp_path: Path) -> None:
    write_figure(tmp_path / "a.bvh", MIXAMO, random_rotations(9, degrees=NEAR_REST), rest_joints())
    lines = (tmp_path / "a.bvh").read_text().splitlines()
    lines[-5] = " ".join(["nan", *lines[-5].split()[1:]])
    lines[-2] = " ".join([*lines[-2].split()[:-1], "nan"])
    (tmp_path / "a.bvh").write_text("\n".join(lines))
    motions = read_retargeted(tmp_path / "a.bvh")
    assert [motion.num_frames for motion in motions] == [4, 2, 1]
    assert sum(motion.dropped_frames for motion in motions) == 2


def test_every_map_names_what_retargeting_needs() -> None:
    for skeleton in MAPS.values():
        assert not skeleton.missing([names[0] for names in skeleton.joints.values()]), skeleton.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("joints: {pelvis: Hips, kneecap: Knee}", "kneecap is not a joint of SMPL"),
        ("joints: {pelvis: Hips}\nside: [L, R]", "unknown key side"),
        ("joints: {pelvis: Hips}\naxes: {pelvis: {x: up}}", "expected two of x, y and z"),
        ("joints: {pelvis: Hips}\naxes: {pelvis: {x: up, y: sunwards}}", "sunwards"),
        ("joints: {pelvis: Hips, head: Head}\naxes: {pelvis: {x: up, y: left}}", "missing: head"),
        ("sides: [L, R]", "expected the key joints"),
        ("joints: {pelvis: a: b}", "expected ',' or"),
    ],
)
def test_a_wrong_map_is_one_clear_error(text: str, said: str) -> None:
    with pytest.raises(MocapError, match=said):
        parse_map("test", text)


def test_sides_mirror_words_and_numbers() -> None:
    hands = "joints: {collar: ['{side}_c'], wrist: ['{side}_h']}\nsides: [l, r]\n"
    skeleton = parse_map("test", hands + "axes: {wrist: {x: out, z: front}, collar: {x: [0.6, -0.8, 0], z: front}}")
    assert skeleton.joints["right_wrist"] == ("r_h",)
    np.testing.assert_allclose(skeleton.axes["right_wrist"], [[-1, 0, 0], [0, -1, 0], [0, 0, 1]])
    np.testing.assert_allclose(skeleton.axes["right_collar"][:, 0], [-0.6, -0.8, 0])
    assert isinstance(skeleton, SkeletonMap)
    assert "left_knee" in REQUIRED


@pytest.mark.shared
def test_every_bvh_of_the_real_data_keeps_its_bone_directions(shared: Path) -> None:
    files = sorted((shared / "mocap/bvh").rglob("*.bvh"))
    assert len(files) > 200
    for path in [*files[:240:12], *files[-36:]]:
        bvh = read_bvh(path)
        skeleton = find_map(bvh)
        rest = rest_pose(bvh, skeleton)
        motion = retarget(bvh)
        world = bvh.joint_positions() @ _world(bvh, skeleton, rest).T
        joints = joint_positions(motion.R_parent_joint)
        for joint, child in LIMB_BONES:
            a, b = joints[:, child] - joints[:, joint], world[:, rest.joints[child]] - world[:, rest.joints[joint]]
            a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
            assert degrees_between(a, b).max() < 0.2, path.name
