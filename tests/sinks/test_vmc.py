from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.assets import asset_path
from mocap.body.skeleton import JOINT, NUM_JOINTS, Skeleton
from mocap.errors import MocapError
from mocap.sinks import VmcSink
from mocap.sinks.presets import PRESETS
from mocap.sinks.vmc import UNITY_BONES
from tests.sinks.conftest import MakePose, Receiver, Wall, adjacent_receivers, make_frame
from tests.sinks.decode import Message, decode, messages

# Unity's humanoid, child to parent, written down apart from the code under test.
UNITY_PARENTS = {
    "Spine": "Hips", "Chest": "Spine", "UpperChest": "Chest", "Neck": "UpperChest", "Head": "Neck",
    "LeftUpperLeg": "Hips", "LeftLowerLeg": "LeftUpperLeg", "LeftFoot": "LeftLowerLeg", "LeftToes": "LeftFoot",
    "RightUpperLeg": "Hips", "RightLowerLeg": "RightUpperLeg", "RightFoot": "RightLowerLeg", "RightToes": "RightFoot",
    "LeftShoulder": "UpperChest", "LeftUpperArm": "LeftShoulder", "LeftLowerArm": "LeftUpperArm",
    "LeftHand": "LeftLowerArm", "RightShoulder": "UpperChest", "RightUpperArm": "RightShoulder",
    "RightLowerArm": "RightUpperArm", "RightHand": "RightLowerArm",
}  # fmt: skip
LEFT, FORWARD, UP = np.array([-1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, 1.0, 0])  # in Unity


def unity_rotate(q: Sequence[float], v: np.ndarray) -> np.ndarray:
    """Unity's ``Quaternion * Vector3``, component by component."""
    x, y, z, w = q
    return np.array([
        (1 - 2 * (y * y + z * z)) * v[0] + 2 * (x * y - w * z) * v[1] + 2 * (x * z + w * y) * v[2],
        2 * (x * y + w * z) * v[0] + (1 - 2 * (x * x + z * z)) * v[1] + 2 * (y * z - w * x) * v[2],
        2 * (x * z - w * y) * v[0] + 2 * (y * z + w * x) * v[1] + (1 - 2 * (x * x + y * y)) * v[2],
    ])  # fmt: skip


def unity_multiply(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    """Unity's ``Quaternion * Quaternion``."""
    return np.array([
        a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
        a[3] * b[1] + a[1] * b[3] + a[2] * b[0] - a[0] * b[2],
        a[3] * b[2] + a[2] * b[3] + a[0] * b[1] - a[1] * b[0],
        a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
    ])  # fmt: skip


def unity_avatar(found: list[Message]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a receiver in Unity shows: bone -> (position, rotation) in the scene, from the messages alone."""
    (root,) = [np.array(item.args[1:]) for item in found if item.address == "/VMC/Ext/Root/Pos"]
    bones = {item.args[0]: np.array(item.args[1:]) for item in found if item.address == "/VMC/Ext/Bone/Pos"}
    scene = {"root": (root[:3], root[3:])}

    def place(name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in scene:
            p, q = place(UNITY_PARENTS.get(name, "root"))
            scene[name] = p + unity_rotate(q, bones[name][:3]), unity_multiply(q, bones[name][3:])
        return scene[name]

    for name in bones:
        place(name)
    return scene


def rotations(**euler_deg: tuple[float, float, float]) -> np.ndarray:
    """Identity but for the named SMPL joints: rotation vectors in degrees, right-handed."""
    R = np.tile(np.eye(3, dtype=np.float32), (NUM_JOINTS, 1, 1))
    for name, degrees in euler_deg.items():
        R[JOINT[name]] = Rotation.from_rotvec(degrees, degrees=True).as_matrix()
    return R


@pytest.fixture
def three() -> Iterator[list[Receiver]]:
    found = adjacent_receivers(3)
    yield found
    for receiver in found:
        receiver.close()


def test_the_formulas_of_this_test_are_unitys() -> None:
    """Unity's manual: a positive turn about Y takes forward (+Z) to right (+X)."""
    quarter = (0, np.sqrt(0.5), 0, np.sqrt(0.5))
    np.testing.assert_allclose(unity_rotate(quarter, FORWARD), -LEFT, atol=1e-12)
    half = unity_multiply(quarter, quarter)
    np.testing.assert_allclose(unity_rotate(half, FORWARD), -FORWARD, atol=1e-12)


@pytest.mark.parametrize("preset", PRESETS)
def test_left_arm_raised_forward_is_left_arm_raised_forward_in_unity(
    preset: str, receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    # Minus a quarter turn about SMPL's +Y takes the left arm from +X (left) to +Z (front).
    pose = make_pose(R_parent_joint=rotations(left_shoulder=(0, -90, 0)), p_world_root=np.array([0.3, 0.9, 0.5]))
    with VmcSink("127.0.0.1", receiver.port, preset, skeleton=skeleton) as sink:
        sink.send(make_frame(pose))
        avatar = unity_avatar(messages(receiver.datagrams()))
    hips, shoulder, hand = (avatar[name][0] for name in ("Hips", "LeftUpperArm", "LeftHand"))
    np.testing.assert_allclose(hips, [-0.3, 0.9, 0.5], atol=1e-6)  # 0.3 m to the left, 0.5 m forward
    assert (shoulder - hips) @ LEFT > 0.1
    np.testing.assert_allclose(hand - shoulder, FORWARD * 0.51, atol=1e-6)  # the whole arm, straight ahead
    other = avatar["RightHand"][0] - avatar["RightUpperArm"][0]
    np.testing.assert_allclose(other, -LEFT * 0.51, atol=1e-6)  # the right arm still in the T-pose
    assert (avatar["Head"][0] - hips) @ UP > 0.5
    assert (avatar["LeftToes"][0] - avatar["LeftFoot"][0]) @ FORWARD > 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_the_arm_raised_before_the_camera_is_the_arm_raised_in_unity(
    preset: str, receiver: Receiver, make_pose: MakePose
) -> None:
    """From the picture to Unity: the clip's person faces the camera and raises the left arm forward."""
    with np.load(asset_path("demo.npz")) as data:
        clip = {name: array[0] if array.shape[:1] == (1,) else array for name, array in data.items()}
    left, right, shoulder = JOINT["left_wrist"], JOINT["right_wrist"], JOINT["left_shoulder"]
    raised = (clip["t"] > 2.2) & (clip["t"] < 4)
    n = int(np.argmax(np.where(raised, clip["p_world_joint"][:, left, 2], -np.inf)))
    # What the camera sees: the person's left hand at the right of the picture, and stretched towards the camera.
    assert clip["joints_px"][n, left, 0] > clip["joints_px"][n, right, 0] + 50
    assert clip["joints_camera"][n, left, 2] < clip["joints_camera"][n, shoulder, 2] - 0.4

    skeleton = Skeleton(clip["rest_joints"], np.zeros((NUM_JOINTS, 3, 10), np.float32))
    pose = make_pose(R_parent_joint=clip["R_parent_joint"][n], p_world_root=clip["p_world_root"][n])
    with VmcSink("127.0.0.1", receiver.port, preset, skeleton=skeleton) as sink:
        sink.send(make_frame(pose))
        avatar = unity_avatar(messages(receiver.datagrams()))
    arm = avatar["LeftHand"][0] - avatar["LeftUpperArm"][0]
    assert arm @ FORWARD > 0.4
    assert arm @ FORWARD > 2 * abs(arm @ UP)
    assert (avatar["LeftHand"][0] - avatar["Hips"][0]) @ LEFT > 0.05
    other = avatar["RightHand"][0] - avatar["RightUpperArm"][0]
    assert other @ FORWARD < 0.2 < other @ -LEFT  # the right arm points to the right
    # A camera that stands where ours stood shows the same picture, so left and right are as the camera sees them.
    eye, ahead = clip["p_world_camera"] * [-1, 1, 1], clip["R_world_camera"][:, 2] * [-1, 1, 1]
    aside = np.cross(UP, ahead) / np.linalg.norm(np.cross(UP, ahead))  # Unity: up cross forward is right
    for joint, bone in UNITY_BONES.items():
        seen = avatar[bone][0] - eye
        x_px = 1280 / 2 + clip["focal_px"] * (seen @ aside) / (seen @ ahead)
        assert x_px == pytest.approx(clip["joints_px"][n, JOINT[joint], 0], abs=0.5)


def test_a_turn_to_the_left_and_a_nod_keep_their_sense(
    receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    # In SMPL, plus a quarter turn about +Y takes the front (+Z) to the left (+X); plus about +X nods down.
    pose = make_pose(R_parent_joint=rotations(pelvis=(0, 90, 0), head=(30, 0, 0)))
    with VmcSink("127.0.0.1", receiver.port, skeleton=skeleton) as sink:
        sink.send(make_frame(pose))
        avatar = unity_avatar(messages(receiver.datagrams()))
    np.testing.assert_allclose(unity_rotate(avatar["Hips"][1], FORWARD), LEFT, atol=1e-6)
    gaze = unity_rotate(avatar["Head"][1], FORWARD)
    np.testing.assert_allclose(gaze, np.cos(np.pi / 6) * LEFT - np.sin(np.pi / 6) * UP, atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_avatar_is_the_mirror_image_of_our_forward_kinematics(
    preset: str, receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    rng = np.random.default_rng(3)
    R = Rotation.random(NUM_JOINTS, random_state=4).as_matrix().astype(np.float32)
    root, betas = rng.normal(size=3).astype(np.float32), rng.normal(size=10).astype(np.float32)
    with VmcSink("127.0.0.1", receiver.port, preset, skeleton=skeleton) as sink:
        sink.send(make_frame(make_pose(R_parent_joint=R, p_world_root=root, betas=betas)))
        avatar = unity_avatar(messages(receiver.datagrams()))
    joints = skeleton.forward(R, root, betas)
    for joint, bone in UNITY_BONES.items():
        np.testing.assert_allclose(avatar[bone][0], joints[JOINT[joint]] * [-1, 1, 1], atol=1e-5)


def test_every_bone_is_sent_once_with_its_rest_offset_and_the_hands_are_left_out(
    receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    betas = np.linspace(-2, 2, 10).astype(np.float32)
    with VmcSink("127.0.0.1", receiver.port, skeleton=skeleton) as sink:
        sink.send(make_frame(make_pose(betas=betas)))
        found = messages(receiver.datagrams())
    bones = [item for item in found if item.address == "/VMC/Ext/Bone/Pos"]
    assert sorted(item.args[0] for item in bones) == sorted([*UNITY_PARENTS, "Hips"])
    assert {item.types for item in bones} == {"sfffffff"}
    offsets = skeleton.offsets(betas) * [-1, 1, 1]
    joint_of = {bone: JOINT[name] for name, bone in UNITY_BONES.items()}
    for item in bones:
        if item.args[0] != "Hips":
            np.testing.assert_allclose(item.args[1:4], offsets[joint_of[item.args[0]]], atol=1e-6)
            assert np.linalg.norm(item.args[1:4]) > 0.01
    (root,) = [item for item in found if item.address == "/VMC/Ext/Root/Pos"]
    assert (root.types, root.args[0]) == ("sfffffff", "root")


def test_presets_choose_what_carries_the_way_over_the_floor(
    receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    pose = make_pose(p_world_root=np.array([0.5, 0.9, -2.0]))
    for preset, expected in PRESETS.items():
        with VmcSink("127.0.0.1", receiver.port, preset, skeleton=skeleton) as sink:
            sink.send(make_frame(pose))
            found = messages(receiver.datagrams())
        root, hips = (next(item.args for item in found if item.args[0] == name) for name in ("root", "Hips"))
        in_root = [-0.5, 0, -2.0] if expected.travel == "root" else [0, 0, 0]
        in_hips = [0, 0.9, 0] if expected.travel == "root" else [-0.5, 0.9, -2.0]
        np.testing.assert_allclose(root[1:], [*in_root, 0, 0, 0, 1], atol=1e-6)
        np.testing.assert_allclose(hips[1:4], in_hips, atol=1e-6)
    assert PRESETS["default"].travel == "root"
    assert PRESETS["vseeface"].travel == "hips"
    with pytest.raises(MocapError, match="vseeface"):
        VmcSink("127.0.0.1", receiver.port, "vsefaec", skeleton=skeleton)  # type: ignore[arg-type]


@pytest.mark.parametrize("bundle", [True, False])
def test_one_ok_and_one_time_per_frame_and_port_before_the_bones(
    bundle: bool, three: list[Receiver], make_pose: MakePose, skeleton: Skeleton
) -> None:
    with VmcSink("127.0.0.1", three[0].port, bundle=bundle, max_people=3, skeleton=skeleton) as sink:
        for step in range(3):
            sink.send(make_frame(make_pose(4), make_pose(9), t=100.0 + step / 8))
            for receiver in three[:2]:
                found = messages(receiver.datagrams())
                assert [item.address for item in found[:3]] == ["/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Root/Pos"]
                assert [item.address for item in found].count("/VMC/Ext/OK") == 1
                assert [item.address for item in found].count("/VMC/Ext/T") == 1
                assert (found[0].types, found[0].args) == ("i", [1])
                assert (found[1].types, found[1].args) == ("f", [step / 8])
            assert three[2].datagrams() == []


def test_bundles_fit_and_the_switch_sends_the_same_messages_one_by_one(
    receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    sent = {}
    for bundle in (True, False):
        with VmcSink("127.0.0.1", receiver.port, bundle=bundle, skeleton=skeleton) as sink:
            sink.send(make_frame(make_pose()))
            sent[bundle] = receiver.datagrams()
    assert all(len(datagram) <= 1200 and datagram.startswith(b"#bundle\0") for datagram in sent[True])
    assert {datagram[8:16] for datagram in sent[True]} == {b"\0\0\0\0\0\0\0\1"}  # immediately
    single = decode(sent[False])
    assert all(packet.t_wall is None and len(packet.messages) == 1 for packet in single)
    assert messages(sent[True]) == [packet.messages[0] for packet in single]


def test_a_port_belongs_to_a_person_until_the_person_is_gone(
    three: list[Receiver], make_pose: MakePose, skeleton: Skeleton, caplog: pytest.LogCaptureFixture
) -> None:
    def who() -> list[int | None]:
        """The height that marks a person, per port; None: a heartbeat alone; -1: silence."""
        found = []
        for receiver in three[:2]:
            datagrams = receiver.datagrams()
            hips = [item.args[2] for item in messages(datagrams) if item.args[0] == "Hips"]
            found.append(round(hips[0]) if hips else None if datagrams else -1)
        return found

    def person(track_id: int) -> object:
        return make_pose(track_id, p_world_root=np.array([0.0, track_id, 0.0]))

    with VmcSink("127.0.0.1", three[0].port, max_people=2, skeleton=skeleton, leave_after_s=1.0) as sink:

        def send(t: float, *ids: int) -> list[int | None]:
            sink.send(make_frame(*map(person, ids), t=t))  # type: ignore[arg-type]
            return who()

        assert send(0.0) == [None, -1]
        assert send(0.1, 1) == [1, -1]
        assert send(0.2, 2, 1) == [1, 2]
        assert send(0.3, 2) == [None, 2]  # 1 is hidden
        assert send(0.4, 2, 3) == [None, 2]  # 3 finds no port: that of 1 is kept
        assert send(0.5, 3, 2, 1) == [1, 2]
        assert send(0.9, 3, 2) == [None, 2]
        assert send(1.6, 3, 2) == [3, 2]  # 1 is gone
        assert send(1.7, 2, 3, 4) == [3, 2]
        assert three[2].datagrams() == []
    assert len([record for record in caplog.records if "ports" in record.message]) == 1


def test_signs_of_life_go_on_while_no_frame_comes(
    three: list[Receiver], make_pose: MakePose, skeleton: Skeleton, wall: Wall
) -> None:
    def heard() -> list[list[tuple[str, float]]]:
        return [[(item.address, item.args[0]) for item in messages(port.datagrams())] for port in three]

    def alive(t: float) -> list[tuple[str, float]]:
        return [("/VMC/Ext/OK", 1), ("/VMC/Ext/T", t)]

    with VmcSink("127.0.0.1", three[0].port, max_people=3, skeleton=skeleton, leave_after_s=1.5) as sink:
        sink.tick()
        assert heard() == [alive(0.0), [], []]
        sink.send(make_frame(make_pose(4), make_pose(5), t=100.0))
        heard()
        wall.t += 0.5
        sink.tick()
        assert heard() == [alive(0.5), alive(0.5), []]
        wall.t += 1.0
        sink.tick()
        assert heard() == [alive(1.5), [], []]  # both are gone
        sink.send(make_frame(make_pose(9), t=101.75))
        assert [len(found) for found in heard()] == [25, 0, 0]  # a newcomer has the first port


def test_names_itself(skeleton: Skeleton) -> None:
    with VmcSink("127.0.0.1", 39539, skeleton=skeleton) as sink:
        assert str(sink) == "VMC 127.0.0.1:39539"
    with VmcSink("localhost", 39539, max_people=3, skeleton=skeleton) as sink:
        assert str(sink) == "VMC localhost:39539-39541"


def test_more_people_than_ports_above_the_first_is_refused(skeleton: Skeleton) -> None:
    with pytest.raises(MocapError, match=r"--vmc\.port.*65535"):
        VmcSink("127.0.0.1", 65534, max_people=3, skeleton=skeleton)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_only_finite_numbers_are_sent(bad: float, receiver: Receiver, make_pose: MakePose, skeleton: Skeleton) -> None:
    R = rotations(left_elbow=(0, 40, 0)).astype(np.float64)
    broken = R.copy()
    broken[JOINT["left_elbow"]] = bad
    faulty = make_pose(R_parent_joint=broken, p_world_root=np.full(3, bad), betas=np.full(10, bad))
    with VmcSink("127.0.0.1", receiver.port, skeleton=skeleton) as sink:
        sink.send(make_frame(faulty))
        first = messages(receiver.datagrams())
        sink.send(make_frame(make_pose(R_parent_joint=R)))
        good = messages(receiver.datagrams())
        sink.send(make_frame(faulty))
        held = messages(receiver.datagrams())
        assert sink.held == 6
    assert all(np.isfinite(value) for item in first + held for value in item.args if not isinstance(value, str))
    assert {"LeftLowerArm", "Hips"} == {item.args[0] for item in good} - {item.args[0] for item in first}
    assert held == good
