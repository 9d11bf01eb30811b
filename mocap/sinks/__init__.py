"""Where the finished frames go over the network: native OSC and the VMC protocol."""

from __future__ import annotations

from contextlib import ExitStack

from mocap.config import OSC_DEFAULT, VMC_DEFAULT, CaptureConfig, OscConfig, VmcConfig
from mocap.sinks.base import Sink
from mocap.sinks.osc import OscSink
from mocap.sinks.vmc import VmcSink

__all__ = ["OscSink", "Sink", "VmcSink", "open_sinks"]


def open_sinks(config: CaptureConfig, on: bool) -> list[Sink]:
    """The sinks that are asked for.

    Args:
        config: A sink is asked for when its host or port is given; port 0 turns it off.
        on: Open those that are not mentioned, too, at their default addresses.

    Raises:
        MocapError: A host does not resolve or a port is out of range; what was opened is closed again.
    """
    sinks: list[Sink] = []
    with ExitStack() as stack:
        if address := _address(config.osc, OSC_DEFAULT, on):
            sinks.append(stack.enter_context(OscSink(*address, leave_after_s=config.lost_after_s)))
        if address := _address(config.vmc, VMC_DEFAULT, on):
            vmc = VmcSink(
                *address, config.vmc.preset, config.vmc.bundle, config.max_people, leave_after_s=config.lost_after_s
            )
            sinks.append(stack.enter_context(vmc))
        stack.pop_all()
    return sinks


def _address(config: OscConfig | VmcConfig, default: tuple[str, int], on: bool) -> tuple[str, int] | None:
    """Host and port, or None for a sink that stays off."""
    if config.port == 0 or not (on or config.host is not None or config.port is not None):
        return None
    host, port = default
    return config.host if config.host is not None else host, config.port or port
