"""What other people's programs make of our datagrams: liblo for OSC, vmcp for the VMC protocol."""

from __future__ import annotations

import socket

import pytest

from mocap.body.skeleton import Skeleton
from mocap.sinks import OscSink, Sink, VmcSink
from mocap.sinks.vmc import UNITY_BONES
from tests.sinks.conftest import MakePose, Receiver, make_frame
from tests.sinks.decode import NTP_1970, Message, Packet, decode, messages


def read_with_liblo(datagrams: list[bytes]) -> list[Packet]:
    liblo = pytest.importorskip("pyliblo3")
    server = liblo.Server()
    packets: list[Packet] = []

    def on_bundle(time_tag: float, _: object) -> None:
        packets[-1].t_wall = time_tag - NTP_1970

    def on_message(address: str, args: list[float | int | str], types: str, *_: object) -> None:
        packets[-1].messages.append(Message(address, types, args))

    server.add_bundle_handlers(on_bundle, lambda *_: None)
    server.add_method(None, None, on_message)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forward:
        for datagram in datagrams:
            packets.append(Packet())
            forward.sendto(datagram, ("127.0.0.1", server.port))
            assert server.recv(2000), "liblo received nothing"
    server.free()
    return packets


@pytest.mark.parametrize("kind", ["osc", "vmc", "vmc unbundled"])
def test_liblo_reads_the_same_as_the_reader_of_these_tests(
    kind: str, receiver: Receiver, make_pose: MakePose, skeleton: Skeleton
) -> None:
    sink: Sink = OscSink("127.0.0.1", receiver.port)
    if kind != "osc":
        sink = VmcSink("127.0.0.1", receiver.port, bundle="unbundled" not in kind, skeleton=skeleton)
    with sink:
        sink.send(make_frame(make_pose(0), make_pose(123), index=7))
        sink.tick()
        datagrams = receiver.datagrams()
    ours, theirs = decode(datagrams), read_with_liblo(datagrams)
    assert len(ours) > 2
    assert [packet.messages for packet in ours] == [packet.messages for packet in theirs]
    for packet, other in zip(ours, theirs, strict=True):
        if kind == "osc":
            assert packet.t_wall == pytest.approx(other.t_wall, abs=1e-4)


def test_vmcp_knows_every_message(receiver: Receiver, make_pose: MakePose, skeleton: Skeleton) -> None:
    events = pytest.importorskip("vmcp.events")
    kinds = (events.StateEvent, events.RelativeTimeEvent, events.RootTransformEvent, events.BoneTransformEvent)
    by_address = {kind.ADDRESS_PATTERN: kind for kind in kinds}
    with VmcSink("127.0.0.1", receiver.port, skeleton=skeleton) as sink:
        sink.send(make_frame(make_pose(), t=3.0))
        found = messages(receiver.datagrams())
    parsed = [by_address[item.address].from_message_data("vmc", item.address, tuple(item.args)) for item in found]
    assert [type(event) for event in parsed] == [*kinds[:3], *[events.BoneTransformEvent] * 22]
    assert {event.joint.value for event in parsed[3:]} == set(UNITY_BONES.values())
    for item, event in zip(found[2:], parsed[2:], strict=True):
        p, q = event.position, event.rotation
        assert [p.x, p.y, p.z, q.x, q.y, q.z, q.w] == item.args[1:]
