"""`mocap doctor`: what is installed, which engines, cameras and ports, and what to do about what is missing."""

from __future__ import annotations

import importlib
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
from engines.backends import BACKENDS, refusal
from engines.cache import default_directory
from mocap.config import OSC_DEFAULT, VMC_DEFAULT
from mocap.errors import MocapError
from mocap.models import tflite
from mocap.models.blazepose import DETECTOR, LANDMARKER, load_detector

IMPORT_ADVICE = {"cv2": "on Linux: sudo apt-get install -y libgl1 libglib2.0-0; else pip install -e . again"}
State = Literal["ok", "note", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do."""

    state: State
    what: str
    advice: str = ""


def doctor() -> int:
    """Print every finding. Returns 0, or 1 when something that `mocap live` needs is missing."""
    findings = []
    for check in CHECKS:
        for finding in check():
            findings.append(finding)
            print(f"{finding.state:5s} {finding.what}" + (f"\n      → {finding.advice}" if finding.advice else ""))
    failed = any(finding.state == "FAIL" for finding in findings)
    has_camera = any(finding.what.startswith("camera ") for finding in findings)
    ready = (
        "ready: mocap live" if has_camera else "ready for videos: mocap file VIDEO; for mocap live, plug a camera in"
    )
    print("\nsomething is missing: see FAIL above" if failed else f"\n{ready}")
    return int(failed)


def check_python() -> Iterator[Finding]:
    version, fits = platform.python_version(), (3, 10) <= sys.version_info[:2] <= (3, 12)
    yield Finding(
        "ok" if fits else "FAIL", f"Python {version} on {platform.platform()}", "" if fits else "use 3.10–3.12"
    )


def check_packages() -> Iterator[Finding]:
    packages = {"numpy": "numpy", "opencv-contrib-python": "cv2", "av": "av", "python-osc": "pythonosc"}
    for name, module in packages.items():
        try:
            importlib.import_module(module)
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except (ImportError, OSError) as error:
            yield Finding(
                "FAIL", f"{name}: {error}", IMPORT_ADVICE.get(module, "pip install -e . in a fresh environment")
            )
    try:
        yield Finding("ok", f"torch {importlib.metadata.version('torch')}")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("FAIL", "torch is not installed", "pip install torch==2.13.0")


def check_networks() -> Iterator[Finding]:
    for network in (DETECTOR, LANDMARKER):
        try:
            yield Finding("ok", f"BlazePose weights: {tflite.mediapipe_file(network.file).name}")
        except MocapError as error:
            yield Finding("FAIL", str(error))


def check_engines() -> Iterator[Finding]:
    for name in BACKENDS:
        reason = refusal(name)
        yield Finding("note", reason) if reason else Finding("ok", f"engine {name}")
    try:
        chosen = load_detector().backend
        yield Finding("ok", f"engine auto is {chosen} and runs; built engines are kept in {default_directory()}")
    except (MocapError, EngineError, ImportError, OSError) as error:
        yield Finding("FAIL", f"engine auto: {error}")


def check_cameras() -> Iterator[Finding]:
    try:
        from mocap.sources.cameras import list_cameras  # needs OpenCV and PyAV, which may be what is broken

        found = list_cameras()
    except (ImportError, OSError) as error:
        yield Finding("FAIL", f"cameras cannot be listed: {error}")
        return
    for camera in found:
        yield Finding("ok", f"camera {camera.index}: {camera.name}")
    if not found:
        yield Finding("note", "no camera found", "plug one in; a clip works too: mocap live --camera clip.mp4")


def check_ports() -> Iterator[Finding]:
    for protocol, option, (host, port) in (
        ("native OSC", "--osc.host", OSC_DEFAULT),
        ("VMC", "--vmc.host", VMC_DEFAULT),
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                yield Finding("ok", f"something listens on {protocol}'s UDP port {port}")
                continue
        yield Finding(
            "note",
            f"nothing on this computer listens on {protocol}'s UDP port {port}",
            f"start the receiver, or name its computer: {option}",
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
