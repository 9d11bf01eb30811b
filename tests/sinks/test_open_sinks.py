from __future__ import annotations

import dataclasses

import pytest

import mocap.sinks
from mocap.body.skeleton import Skeleton
from mocap.config import CaptureConfig, OscConfig, VmcConfig
from mocap.errors import MocapError
from mocap.sinks import OscSink, VmcSink, open_sinks
from tests.sinks.conftest import MakePose, Receiver, adjacent_receivers, make_frame


@pytest.fixture(autouse=True)
def _no_shipped_skeleton(monkeypatch: pytest.MonkeyPatch, skeleton: Skeleton) -> None:
    monkeypatch.setattr(mocap.sinks.vmc, "load_skeleton", lambda: skeleton)


@pytest.mark.parametrize(
    ("osc", "vmc", "on", "expected"),
    [
        (OscConfig(), VmcConfig(), False, []),
        (OscConfig(), VmcConfig(), True, [OscSink, VmcSink]),
        (OscConfig(port=9000), VmcConfig(), False, [OscSink]),
        (OscConfig(), VmcConfig(host="127.0.0.1"), False, [VmcSink]),
        (OscConfig(port=0), VmcConfig(), True, [VmcSink]),
        (OscConfig(host="127.0.0.1", port=0), VmcConfig(port=0), True, []),
    ],
)
def test_sinks_are_open_when_asked_for(osc: OscConfig, vmc: VmcConfig, on: bool, expected: list[type]) -> None:
    sinks = open_sinks(CaptureConfig(osc=osc, vmc=vmc), on)
    assert [type(sink) for sink in sinks] == expected
    for sink in sinks:
        sink.close()


def test_every_option_arrives(make_pose: MakePose) -> None:
    receivers = adjacent_receivers(3)
    vmc = VmcConfig("127.0.0.1", receivers[0].port, "vseeface", bundle=False)
    config = dataclasses.replace(CaptureConfig(vmc=vmc), max_people=2)
    (sink,) = open_sinks(config, on=False)
    with sink:
        sink.send(make_frame(*map(make_pose, range(3))))
    counts = [len(receiver.datagrams()) for receiver in receivers]
    assert counts == [25, 25, 0]  # OK, T, root and 22 bones, unbundled, for two of three people
    for receiver in receivers:
        receiver.close()


def test_a_mistake_in_the_second_sink_closes_the_first(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[OscSink] = []
    monkeypatch.setattr(OscSink, "close", lambda sink: closed.append(sink))
    config = CaptureConfig(osc=OscConfig(port=receiver.port), vmc=VmcConfig(host="no-such-host.invalid"))
    with pytest.raises(MocapError, match=r"--vmc\.host"):
        open_sinks(config, on=False)
    assert len(closed) == 1
