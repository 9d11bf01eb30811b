"""Datagrams read by liblo: an OSC implementation that shares nothing with the one that built them."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import pytest

liblo = pytest.importorskip("pyliblo3")

NTP_1970 = 2_208_988_800  # seconds from 1900, where OSC counts from, to 1970


@dataclass
class Message:
    address: str
    types: str
    args: list[float | int | str]


@dataclass
class Packet:
    """One datagram; ``t_wall`` is None outside a bundle."""

    t_wall: float | None = None
    messages: list[Message] = field(default_factory=list)


def decode(datagrams: list[bytes]) -> list[Packet]:
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


def messages(datagrams: list[bytes]) -> list[Message]:
    return [message for packet in decode(datagrams) for message in packet.messages]
