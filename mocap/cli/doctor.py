"""`mocap doctor`: what is installed, which engines, cameras and ports, and what to do about what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines import EngineError
from engines.backends import BACKENDS, find
from engines.cache import default_directory
from mocap.config import VMC_DEFAULT
from mocap.errors import MocapError
from mocap.models.blazepose import DETECTOR, LANDMARKER
from mocap.models.tflite import mediapipe_file
from mocap.sources.cameras import list_cameras

State = Literal["ok", "note", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do."""

    state: State
    what: str
    advice: str = ""


def doctor() -> int:
    """Print every finding. Returns 0, or 1 when something that `mocap live` needs is missing."""
    failed = False
    for check in CHECKS:
        for finding in check():
            failed |= finding.state == "FAIL"
            print(f"{finding.state:5s} {finding.what}" + (f"\n      → {finding.advice}" if finding.advice else ""))
    print("\nsomething is missing: see FAIL above" if failed else "\nready: mocap live")
    return int(failed)


def check_python() -> Iterator[Finding]:
    version, fits = platform.python_version(), (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Finding(
        "ok" if fits else "FAIL", f"Python {version} on {platform.platform()}", "" if fits else "use 3.10–3.12"
    )


def check_packages() -> Iterator[Finding]:
    for name in ("numpy", "opencv-contrib-python", "av", "python-osc", "torch"):
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("FAIL", f"{name} is not installed", "pip install mocap again in a fresh environment")


def check_networks() -> Iterator[Finding]:
    for network in (DETECTOR, LANDMARKER):
        try:
            yield Finding("ok", f"BlazePose weights: {mediapipe_file(network.file).name}")
        except MocapError as error:
            yield Finding("FAIL", str(error))


def check_engines() -> Iterator[Finding]:
    for name in BACKENDS:
        try:
            find(name)
        except EngineError as error:
            yield Finding("note", str(error))
        else:
            yield Finding("ok", f"engine {name}")
    yield Finding("ok", f"engine auto is {find('auto')[0]}; built engines are kept in {default_directory()}")


def check_cameras() -> Iterator[Finding]:
    found = list_cameras()
    for camera in found:
        yield Finding("ok", f"camera {camera.index}: {camera.name}")
    if not found:
        yield Finding("note", "no camera found", "plug one in; a clip works too: mocap live --camera clip.mp4")


def check_ports() -> Iterator[Finding]:
    port = VMC_DEFAULT[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            yield Finding("ok", f"something listens on UDP port {port}: a VMC receiver, it seems")
            return
    yield Finding(
        "note",
        f"nothing on this computer listens on VMC's UDP port {port}",
        "start the receiver, or name it: --vmc.host",
    )


def check_screen() -> Iterator[Finding]:
    if platform.system() == "Linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield Finding("note", "no screen: --preview will not work here; capture does")


def check_folder() -> Iterator[Finding]:
    folder = Path.cwd()
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            yield Finding("ok", f"takes can be written under {folder}")
    except OSError as error:
        yield Finding("note", f"takes cannot be written under {folder}: {error}", "name a folder: mocap live --out DIR")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_packages,
    check_networks,
    check_engines,
    check_cameras,
    check_ports,
    check_screen,
    check_folder,
)
