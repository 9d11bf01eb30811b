"""Configuration: frozen dataclasses. Each field is an option of the command line and a key of the YAML file.

The stages take the small classes; a command's configuration inherits them, so its options and keys stay flat
(``max_people: 2``), but for the two sinks, which are groups (``osc: {port: 9100}``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

VmcPreset = Literal["default", "vseeface", "warudo", "vnyan"]
PublishedName = Literal["tokenhmr", "hmr2", "int", "vqhps", "postometro"]
RegressorName = Literal["tokens", "kinematic", PublishedName]
EngineName = Literal["auto", "tensorrt", "cuda_graph", "openvino", "onnxruntime", "eager"]
ExportFormat = Literal["npz", "bvh"]
DrawStyle = Literal["mesh", "skeleton"]

DEFAULT_FOV = 65.0  # degrees across; common webcams lie between 60 and 75
OSC_DEFAULT = ("127.0.0.1", 9100)
VMC_DEFAULT = ("127.0.0.1", 39539)  # VMC protocol: the marionette's port


def option(
    default: Any,
    help: str,
    metavar: str | None = None,
    low: float | None = None,
    high: float | None = None,
    compare: bool = True,
) -> Any:
    """A dataclass field that the command line shows with this help and holds between ``low`` and ``high``."""
    metadata = {"help": help, "metavar": metavar, "low": low, "high": high}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata, compare=compare)
    return field(default=default, metadata=metadata, compare=compare)


@dataclass(frozen=True)
class CameraConfig:
    """What is asked of the camera; what it gives is printed at the start."""

    width: int = option(1280, "width to ask the camera for", "PX", low=1)
    height: int = option(720, "height to ask the camera for", "PX", low=1)
    fps: float = option(30.0, "frames per second to ask the camera for; of an image folder, its rate", "HZ", low=0.1)
    mirror: bool = option(False, "flip left and right: your right hand moves the avatar's left")
    fov: float | None = option(
        None,
        f"horizontal field of view (default: EXIF of a picture, else {DEFAULT_FOV:g} across the longer side)",
        "DEGREES",
        low=5,
        high=170,
    )


@dataclass(frozen=True)
class PeopleConfig:
    """Who is tracked."""

    max_people: int = option(1, "track at most so many people", "N", low=1, high=8)
    min_detection_score: float = option(0.5, "a detection counts from this score", "0…1", low=0, high=1)
    min_presence_score: float = option(0.5, "a person is lost below this presence score", "0…1", low=0, high=1)
    redetect_s: float = option(0.5, "look for newcomers this often while there is room for them", "SECONDS", low=0)
    lost_after_s: float = option(1.5, "an id dies when its person was not seen for so long", "SECONDS", low=0.1)


@dataclass(frozen=True)
class MotionConfig:
    """From per-frame poses to stable motion."""

    smoothing: float = option(0.5, "0 is raw and instant, 1 the smoothest with the most lag", "0…1", low=0, high=1)


@dataclass(frozen=True)
class OscConfig:
    """Native OSC: every joint's rotation, root, shape and contacts (docs/protocols.md)."""

    host: str | None = option(None, "receiver's name or address", "HOST")
    port: int | None = option(None, "receiver's UDP port; 0 turns it off", "PORT", low=0, high=65535)


@dataclass(frozen=True)
class VmcConfig:
    """VMC protocol: Unity's humanoid bones (docs/protocols.md)."""

    host: str | None = option(None, "receiver's name or address", "HOST")
    port: int | None = option(
        None, "UDP port of the first person, the next get the ports after it; 0: off", "PORT", low=0, high=65535
    )
    preset: VmcPreset = option("default", "receiver that the packets are arranged for")
    bundle: bool | None = option(None, "send OSC bundles, or every message by itself (default: as the preset says)")


@dataclass(frozen=True)
class CaptureConfig(CameraConfig, PeopleConfig, MotionConfig):
    """What `live` and `file` share: the stages and the sinks."""

    regressor: RegressorName = option(
        "tokens",
        "what gives SMPL rotations: tokens, a network on landmarks (docs/capture.md); kinematic, a solver; or a "
        "published network whose checkpoint you bring (docs/published.md)",
    )
    engine: EngineName = option("auto", "what runs the networks; auto takes the fastest that is there")
    osc: OscConfig = field(default_factory=OscConfig)
    vmc: VmcConfig = field(default_factory=VmcConfig)


@dataclass(frozen=True)
class LiveConfig(CaptureConfig):
    """Camera in, poses out, a take on disk."""

    camera: str | None = option(
        None, "number, name, stream URL, or a video to play as if it were one (default: the first camera)", "CAMERA"
    )
    loop: bool = option(False, "a video given as camera starts again at its end")
    out: str = option("takes", "folder of the recording", "DIR")
    name: str = option("live", "name in the recording's file name", "NAME")
    record: bool = option(True, "record a take")
    export: list[ExportFormat] = option([], "formats to export the take to at the end")
    preview: bool = option(False, "show the picture with what was captured over it; q or Esc ends")
    preview_style: DrawStyle = option("skeleton", "what the preview shows of a body; mesh takes more time")
    duration: float | None = option(None, "stop after so long", "SECONDS", low=0)


@dataclass(frozen=True)
class FileConfig(CaptureConfig):
    """Video, picture or folder of pictures in, a take and its exports out."""

    lookahead: int = option(
        16,
        "frames after each frame that its pose knows of, with the regressor tokens; 0: none, as live",
        "N",
        low=0,
        high=64,
    )
    out: str = option("takes", "folder of the take and its exports", "DIR")
    export: list[ExportFormat] = option(["npz", "bvh"], "formats to export the take to")
    overlay: str | None = option(None, "write the video with the bodies drawn over it", "FILE.mp4")
    overlay_style: DrawStyle = option("mesh", "what the overlay shows of a body")
    preview: bool = option(False, "show the picture with what was captured while it runs; q or Esc ends")
    preview_style: DrawStyle = option("skeleton", "what the preview shows of a body")
