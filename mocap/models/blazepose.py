"""BlazePose: the person detector and the landmark network, from the weights inside the ``mediapipe`` package.

Inputs are pictures in RGB, float32, (B, H, W, 3). Nothing here imports ``mediapipe``, and torch is imported only when
an engine has to be built.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import engines
from mocap.errors import MocapError
from mocap.models import tflite

if TYPE_CHECKING:
    from torch import nn

    from mocap.models.tflite_module import TfliteModule


@dataclass(frozen=True)
class Network:
    """One of the two networks: its file inside mediapipe, and what goes in and comes out."""

    name: str
    file: str
    size: int  # side of the square input, px
    low: float  # values of the input lie in [low, 1]
    outputs: dict[str, tuple[int, tuple[int, ...]]]  # name -> number of the tensor in the file, shape without the batch


LANDMARKER = Network(
    name="blazepose_landmarker",
    file="modules/pose_landmark/pose_landmark_full.tflite",
    size=256,
    low=0.0,
    outputs={
        "landmarks": (337, (39, 5)),
        "presence": (342, (1,)),
        "world": (339, (39, 3)),
        "heatmaps": (298, (64, 64, 39)),
        "segmentation": (297, (256, 256, 1)),
        "features_64": (279, (64, 64, 48)),
        "features_32": (277, (32, 32, 48)),
        "features_16": (275, (16, 16, 48)),
        "features_8": (300, (8, 8, 288)),
    },
)

DETECTOR = Network(
    name="blazepose_detector",
    file="modules/pose_detection/pose_detection.tflite",
    size=224,
    low=-1.0,
    outputs={"boxes": (441, (2254, 12)), "scores": (429, (2254, 1))},
)

_OUTPUTS = ("landmarks", "visibility", "presence", "world")
_FROM_FILE = ("landmarks", "presence", "world", "heatmaps")  # segmentation costs 2 ms of 7 and has no reader


def load_detector(engine: str = "auto", cache_dir: Path | None = None) -> engines.Engine:
    """The person detector, ready to run.

    It takes ``image`` (B, 224, 224, 3) in [-1, 1] and returns

    * ``boxes`` (B, 2254, 12): raw regressions in pixels of the input, relative to the anchor: x, y, width, height of
      the face box, then x, y of four keypoints; anchors in the order of strides 8 (2 per cell), 16 (2) and 32 (6);
    * ``scores`` (B, 2254, 1): logits.

    Raises:
        MocapError: mediapipe 0.10.21 is not installed.
        engines.EngineError: the engine is not there or cannot be built.
    """
    return engines.compile(detector_network(), engine, cache_dir=cache_dir)


def load_landmarker(
    engine: str = "auto", max_batch: int = 1, cache_dir: Path | None = None, features: bool = False
) -> engines.Engine:
    """The landmark network, ready to run on up to ``max_batch`` crops at once (more run in turns).

    It takes ``image`` (B, 256, 256, 3) in [0, 1] and returns

    * ``landmarks`` (B, 35, 3): x, y, z in pixels of the crop, refined by the heatmaps; 0–32 are the body, 33 is the
      middle of the hips, 34 the point that gives size and rotation of the person;
    * ``visibility`` (B, 33): of the body's, in [0, 1];
    * ``presence`` (B, 1): that a person is there, in [0, 1];
    * ``world`` (B, 33, 3): metres, 0 between the hips, in the axes of the rotated crop;
    * with ``features``: ``features`` (B, 16, 288), the innermost map in 4 x 4 places.

    Raises:
        MocapError: mediapipe 0.10.21 is not installed.
        engines.EngineError: the engine is not there or cannot be built.
    """
    return engines.compile(landmarker_network(features, max_batch), engine, cache_dir=cache_dir)


def detector_network() -> engines.Network:
    """The person detector as the engines want it."""

    def trial() -> engines.Trial:
        from mocap.models import parity  # imports torch and a video decoder: only to build

        return parity.detector()

    names = tuple(DETECTOR.outputs)
    spec = engines.EngineSpec({"image": engines.TensorSpec((DETECTOR.size, DETECTOR.size, 3))}, names)
    return engines.Network(
        DETECTOR.name, functools.partial(build, DETECTOR, names), spec, _weights_key(DETECTOR, ()), trial
    )


def landmarker_network(features: bool = False, max_batch: int = 1) -> engines.Network:
    """The landmark network as the engines want it."""

    def trial() -> engines.Trial:
        from mocap.models import parity  # imports torch and a video decoder: only to build

        return parity.landmarker()

    outputs = (*_OUTPUTS, "features") if features else _OUTPUTS
    image = engines.TensorSpec((LANDMARKER.size, LANDMARKER.size, 3))
    return engines.Network(
        name=LANDMARKER.name,
        build=functools.partial(_build_landmarker, features),
        spec=engines.EngineSpec({"image": image}, outputs, max_batch),
        weights_key=_weights_key(LANDMARKER, ("blazepose_landmarks",)),
        trial=trial,
    )


def _build_landmarker(features: bool) -> nn.Module:
    from mocap.models.blazepose_landmarks import Landmarks

    raw = build(LANDMARKER, (*_FROM_FILE, "features_8") if features else _FROM_FILE)
    return Landmarks(raw, LANDMARKER.size).eval()


def build(network: Network, outputs: Sequence[str]) -> TfliteModule:
    """The network of the file as a torch module: ``image`` (B, size, size, 3) -> ``outputs`` by name.

    Raises:
        MocapError: mediapipe is missing, or its file holds another graph.
    """
    from mocap.models.tflite_module import TfliteModule

    path = tflite.mediapipe_file(network.file)
    graph = tflite.read_graph(path)
    for name in outputs:
        number, shape = network.outputs[name]
        found = graph.shapes.get(number, ())
        if math.prod(found) != math.prod(shape):
            raise MocapError(
                f"{path}: expected '{name}' as tensor {number} with the elements of {shape}, found {found}; "
                f"is it the file of another release? {tflite.INSTALL}"
            )
    return TfliteModule(graph, {name: network.outputs[name] for name in outputs}).eval()


def sample_images(network: Network, batch: int = 2) -> dict[str, np.ndarray]:
    """Smooth random pictures, the same ones each time: (batch, size, size, 3) under ``image``, in the input's range."""
    coarse = np.random.default_rng(0).random((batch, 9, 9, 3))
    position = np.linspace(0, 8, network.size, endpoint=False)
    cell, weight = position.astype(int), position % 1
    rows = coarse[:, cell] * (1 - weight[:, None, None]) + coarse[:, cell + 1] * weight[:, None, None]
    image = rows[:, :, cell] * (1 - weight[:, None]) + rows[:, :, cell + 1] * weight[:, None]
    return {"image": (network.low + (1 - network.low) * image).astype(np.float32, order="C")}


def _weights_key(network: Network, more: Sequence[str]) -> str:
    """Hash of the network's file and of the code that converts it."""
    here = Path(__file__).parent
    code = [here / f"{name}.py" for name in ("tflite", "tflite_module", "blazepose", *more)]
    return hashlib.sha256(
        b"".join(path.read_bytes() for path in (tflite.mediapipe_file(network.file), *code))
    ).hexdigest()
