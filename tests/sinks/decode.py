"""Datagrams read as OSC 1.0's description says, by a reader that shares nothing with the one that built them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

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
    return [_packet(datagram) for datagram in datagrams]


def messages(datagrams: list[bytes]) -> list[Message]:
    return [message for packet in decode(datagrams) for message in packet.messages]


def _packet(data: bytes) -> Packet:
    if not data.startswith(b"#bundle\0"):
        return Packet(None, [_message(data)])
    packet = Packet(int.from_bytes(data[8:16], "big") / 2**32 - NTP_1970)
    rest = data[16:]
    while rest:
        size = int.from_bytes(rest[:4], "big")
        assert size % 4 == 0
        assert 0 < size <= len(rest) - 4
        packet.messages.append(_message(rest[4 : 4 + size]))
        rest = rest[4 + size :]
    return packet


def _message(data: bytes) -> Message:
    address, rest = _string(data)
    types, rest = _string(rest)
    assert address.startswith("/")
    assert types.startswith(",")
    args: list[float | int | str] = []
    for kind in types[1:]:
        if kind == "s":
            text, rest = _string(rest)
            args.append(text)
        else:
            args += struct.unpack({"i": ">i", "f": ">f"}[kind], rest[:4])
            rest = rest[4:]
    assert rest == b""
    return Message(address, types[1:], args)


def _string(data: bytes) -> tuple[str, bytes]:
    """Ended by a zero and padded with zeros to four bytes."""
    end = data.index(0)
    size = end // 4 * 4 + 4
    assert data[end:size] == bytes(size - end)
    return data[:end].decode("ascii"), data[size:]
