"""Where the finished frames go over the network: native OSC and the VMC protocol."""

from __future__ import annotations

from mocap.sinks.base import Sink
from mocap.sinks.osc import OscSink
from mocap.sinks.vmc import VmcSink

__all__ = ["OscSink", "Sink", "VmcSink"]
