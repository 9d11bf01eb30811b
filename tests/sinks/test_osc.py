from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.body.skeleton import JOINT_NAMES, NUM_JOINTS
from mocap.sinks import OscSink
from tests.sinks.conftest import MakePose, Receiver, Wall, make_frame
from tests.sinks.decode import decode, messages


@pytest.fixture
def rotations() -> np.ndarray:
    return Rotation.random(NUM_JOINTS, random_state=1).as_matrix().astype(np.float32)


def events(receiver: Receiver) -> list[str]:
    found = [item.address for item in messages(receiver.datagrams())]
    return [address for address in found if address.endswith(("/enter", "/leave"))]


def test_every_value_of_a_pose_arrives(receiver: Receiver, make_pose: MakePose, rotations: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    pose = make_pose(
        7,
        R_parent_joint=rotations,
        p_world_root=rng.normal(size=3),
        betas=rng.normal(size=10),
        confidence=rng.random(24),
        contact=rng.random(2),
    )
    with OscSink("127.0.0.1", receiver.port) as sink:
        sink.send(make_frame(pose, index=41, age_ms=12.5))
        found = messages(receiver.datagrams())
    by_address = {item.address: item for item in found}
    assert len(by_address) == len(found) == 1 + 1 + 1 + 23 + 2  # frame, enter, root, joints, shape and contact
    assert found[0].address == "/mocap/frame"
    assert (found[0].types, found[0].args) == ("ifi", [41, 12.5, 1])
    root = by_address["/mocap/7/root"]
    assert root.types == "fffffff"
    np.testing.assert_allclose(root.args[:3], pose.p_world_root, atol=1e-6)
    np.testing.assert_allclose(Rotation.from_quat(root.args[3:]).as_matrix(), rotations[0], atol=1e-5)
    for joint in range(1, NUM_JOINTS):
        item = by_address[f"/mocap/7/joint/{JOINT_NAMES[joint]}"]
        assert item.types == "fffff"
        np.testing.assert_allclose(Rotation.from_quat(item.args[:4]).as_matrix(), rotations[joint], atol=1e-5)
        assert item.args[4] == pytest.approx(pose.confidence[joint])
    assert by_address["/mocap/7/shape"].types == "f" * 10
    np.testing.assert_allclose(by_address["/mocap/7/shape"].args, pose.betas, rtol=1e-6)
    assert by_address["/mocap/7/contact"].types == "ff"
    np.testing.assert_allclose(by_address["/mocap/7/contact"].args, pose.contact, rtol=1e-6)


def test_bundles_are_small_tagged_with_the_capture_time_and_hold_one_person(
    receiver: Receiver, make_pose: MakePose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mocap.sinks.base.time.time", lambda: 1_700_000_000.5)
    with OscSink("127.0.0.1", receiver.port) as sink:
        sink.send(make_frame(make_pose(123456), make_pose(8), age_ms=250.0))
        datagrams = receiver.datagrams()
    assert all(len(datagram) <= 1200 and datagram.startswith(b"#bundle\0") for datagram in datagrams)
    packets = decode(datagrams)
    assert [packet.t_wall for packet in packets] == pytest.approx([1_700_000_000.25] * len(packets), abs=1e-4)
    assert sum(item.address == "/mocap/frame" for packet in packets for item in packet.messages) == 1
    people = [{item.address.split("/")[2] for item in packet.messages} - {"frame"} for packet in packets]
    assert people == [{"123456"}] * (len(packets) - 2) + [{"8"}] * 2


def test_a_frame_without_people_is_one_message(receiver: Receiver) -> None:
    with OscSink("127.0.0.1", receiver.port) as sink:
        sink.send(make_frame(index=3))
        (packet,) = decode(receiver.datagrams())
    assert [(item.address, item.args) for item in packet.messages] == [("/mocap/frame", [3, 25.0, 0])]


def test_enter_comes_once_and_leave_when_the_person_is_gone_or_the_sink_closes(
    receiver: Receiver, make_pose: MakePose
) -> None:
    sink = OscSink("127.0.0.1", receiver.port, leave_after_s=1.0)
    sink.send(make_frame(make_pose(0), make_pose(1), t=10.0))
    assert events(receiver) == ["/mocap/0/enter", "/mocap/1/enter"]
    sink.send(make_frame(make_pose(1), t=10.5))  # a short occlusion of 0
    sink.send(make_frame(make_pose(0), make_pose(1), t=10.9))
    assert events(receiver) == []
    sink.send(make_frame(make_pose(1), t=12.0))
    assert events(receiver) == ["/mocap/0/leave"]
    sink.send(make_frame(make_pose(1), make_pose(2), t=12.1))
    assert events(receiver) == ["/mocap/2/enter"]
    sink.close()
    assert events(receiver) == ["/mocap/1/leave", "/mocap/2/leave"]
    sink.close()
    assert events(receiver) == []


@pytest.mark.parametrize("leave_after_s", [0.0, 1e-6])
def test_whoever_is_in_the_frame_has_not_left(receiver: Receiver, make_pose: MakePose, leave_after_s: float) -> None:
    with OscSink("127.0.0.1", receiver.port, leave_after_s=leave_after_s) as sink:
        for step in range(3):
            sink.send(make_frame(make_pose(0), t=step / 30))
        assert events(receiver) == ["/mocap/0/enter"]
        sink.send(make_frame(t=0.1))
        assert events(receiver) == ["/mocap/0/leave"]


def test_leave_comes_while_no_frame_does(receiver: Receiver, make_pose: MakePose, wall: Wall) -> None:
    """The frames' clock may be a file's: it goes on from the last frame as the wall clock does."""
    with OscSink("127.0.0.1", receiver.port, leave_after_s=1.5) as sink:
        sink.tick()
        sink.send(make_frame(make_pose(0), t=1e6))
        sink.send(make_frame(make_pose(1), t=1e6 + 1.0))  # 0 was last seen a second ago
        assert events(receiver) == ["/mocap/0/enter", "/mocap/1/enter"]
        wall.t += 0.25
        sink.tick()
        assert receiver.datagrams() == []
        wall.t += 0.25
        sink.tick()
        assert events(receiver) == ["/mocap/0/leave"]
        wall.t += 1.0
        sink.tick()
        sink.tick()
        assert events(receiver) == ["/mocap/1/leave"]
        sink.send(make_frame(make_pose(2), t=1e6 + 2.5))
        assert events(receiver) == ["/mocap/2/enter"]
    assert events(receiver) == ["/mocap/2/leave"]


def test_a_time_that_is_not_finite_keeps_nobody_forever(receiver: Receiver, make_pose: MakePose, wall: Wall) -> None:
    with OscSink("127.0.0.1", receiver.port, leave_after_s=1.5) as sink:
        sink.send(make_frame(make_pose(0), t=math.nan))
        wall.t += 2.0
        sink.tick()
        assert events(receiver) == ["/mocap/0/enter", "/mocap/0/leave"]


def test_names_itself() -> None:
    with OscSink("127.0.0.1", 9100) as sink:
        assert str(sink) == "OSC 127.0.0.1:9100"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_only_finite_numbers_are_sent(
    receiver: Receiver, make_pose: MakePose, rotations: np.ndarray, bad: float, caplog: pytest.LogCaptureFixture
) -> None:
    elbow = JOINT_NAMES.index("left_elbow")
    broken = rotations.astype(np.float64)
    broken[elbow, 1, 2] = bad
    fields = {
        "R_parent_joint": broken,
        "p_world_root": np.array([0, bad, 0]),
        "betas": np.full(10, bad),
        "confidence": np.where(np.arange(24) == 3, bad, 0.75),
        "contact": np.array([bad, 1]),
    }
    with OscSink("127.0.0.1", receiver.port) as sink:
        sink.send(make_frame(make_pose(0, **fields), age_ms=bad))
        first = {item.address: item.args for item in messages(receiver.datagrams())}
        sink.send(make_frame(make_pose(0, R_parent_joint=rotations, p_world_root=np.ones(3)), t=0.1))
        good = {item.address: item.args for item in messages(receiver.datagrams())}
        sink.send(make_frame(make_pose(0, **fields), t=0.2))
        held = {item.address: item.args for item in messages(receiver.datagrams())}
        assert sink.held == 2 * 5
    for sent in (first, good, held):
        numbers = [value for args in sent.values() for value in args]
        assert np.isfinite(numbers).all()
    assert not {"/mocap/0/joint/left_elbow", "/mocap/0/root"} & first.keys()
    for address in ("joint/left_elbow", "root", "shape", "contact"):
        assert held[f"/mocap/0/{address}"] == good[f"/mocap/0/{address}"]
    assert len([record for record in caplog.records if "not finite" in record.message]) == 1
