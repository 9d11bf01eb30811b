from __future__ import annotations

import errno
import socket
from itertools import pairwise

import numpy as np
import pytest
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from mocap.body.skeleton import Skeleton
from mocap.errors import MocapError
from mocap.sinks import OscSink, VmcSink
from mocap.sinks.udp import MAX_DATAGRAM, Destination, bundles, message
from tests.sinks.conftest import Receiver


@pytest.fixture
def free_port() -> int:
    receiver = Receiver()
    receiver.close()
    return receiver.port


@pytest.mark.parametrize("host", ["no-such-host.invalid", "", "a..b", "300.1.1.1"])
def test_a_host_that_does_not_resolve_names_the_host_and_the_option(host: str) -> None:
    with pytest.raises(MocapError, match=r"--osc\.host.*") as error:
        OscSink(host, 9100)
    assert repr(host) in str(error.value)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_names_the_option(port: int, skeleton: Skeleton) -> None:
    with pytest.raises(MocapError, match=rf"--osc\.port.*{port}"):
        OscSink("127.0.0.1", port)
    with pytest.raises(MocapError, match=r"--vmc\.port"):
        VmcSink("127.0.0.1", port, skeleton=skeleton)


def test_an_absent_receiver_is_counted_warned_of_once_and_found_when_it_comes(
    free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    destination = Destination("127.0.0.1", free_port, "osc")
    for _ in range(20):
        destination.send([b"nobody"])
    assert destination.errors > 0
    assert len(caplog.records) == 1
    assert f"127.0.0.1:{free_port}" in caplog.text
    receiver = Receiver(free_port)
    destination.send([b"first", b"second"])
    assert receiver.datagrams() == [b"first", b"second"]
    receiver.close()
    destination.close()


def test_a_taken_port_hurts_a_second_receiver_but_not_the_sender(receiver: Receiver) -> None:
    destination = Destination("127.0.0.1", receiver.port, "osc")
    with pytest.raises(OSError, match=r"in use|one usage"):
        Receiver(receiver.port)
    destination.send([b"still here"])
    assert receiver.datagrams() == [b"still here"]
    assert destination.errors == 0
    destination.close()


class UnreachableSocket(socket.socket):
    """The network is down for the first three attempts."""

    attempts = 0

    def connect(self, address: object) -> None:
        self.attempts += 1
        if self.attempts <= 3:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        super().connect(address)  # type: ignore[arg-type]


def test_a_network_that_comes_back_is_used_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket, "socket", UnreachableSocket)
    destination = Destination("127.0.0.1", receiver.port, "osc")
    for _ in range(3):
        destination.send([b"lost"])
    destination.send([b"found"])
    assert receiver.datagrams() == [b"found"]
    assert destination.errors == 3
    assert len(caplog.records) == 1
    destination.close()


def test_a_full_buffer_drops_the_datagram_instead_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullSocket(socket.socket):
        def send(self, *_: object) -> int:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(socket, "socket", FullSocket)
    destination = Destination("127.0.0.1", 9, "osc")
    destination.send([b"dropped"])
    assert destination.errors == 1
    destination.close()


def test_ipv4_is_preferred(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    real = socket.getaddrinfo("127.0.0.1", receiver.port, type=socket.SOCK_DGRAM)
    v6 = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", receiver.port, 0, 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [v6, *real])
    destination = Destination("localhost", receiver.port, "osc")
    destination.send([b"here"])
    assert receiver.datagrams() == [b"here"]
    destination.close()


@pytest.mark.parametrize("count", [0, 1, 25, 200])
def test_bundles_keep_every_message_in_order_within_the_limit(count: int) -> None:
    items = [message(f"/item/{index}", "sf", "x" * (index % 40), 0.5) for index in range(count)]
    datagrams = bundles(items, 1_700_000_000.0)
    assert all(len(datagram) <= MAX_DATAGRAM for datagram in datagrams)
    elements = []
    for datagram in datagrams:
        assert datagram[:16] == datagrams[0][:16]  # the same time tag
        rest = datagram[16:]
        while rest:
            size = int.from_bytes(rest[:4], "big")
            elements.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
    assert elements == items
    # Neighbours would not fit into one bundle: there are no more bundles than needed.
    for left, right in pairwise(datagrams):
        assert len(left) + 4 + int.from_bytes(right[16:20], "big") > MAX_DATAGRAM


def test_the_bytes_are_those_of_python_oscs_builders() -> None:
    rng = np.random.default_rng(0)
    found, builder = [], OscBundleBuilder(1_700_000_000.125)  # type: ignore[arg-type]
    for types in ("", "i", "ifi", "fffff", "f" * 10, "s", "sfffffff"):
        for length in range(4):  # strings are padded to four bytes
            args = ["n" * length if kind == "s" else -7 if kind == "i" else float(rng.normal()) for kind in types]
            reference = OscMessageBuilder("/a" + "b" * length)
            for kind, arg in zip(types, args, strict=True):
                reference.add_arg(arg, kind)
            found.append(message("/a" + "b" * length, types, *args))
            assert found[-1] == reference.build().dgram
            builder.add_content(reference.build())
    expected = builder.build().dgram
    assert len(expected) < MAX_DATAGRAM
    assert bundles(found, 1_700_000_000.125) == [expected]
