"""The learned capture in the live loop: BlazePose's landmarks -> SMPL rotations and a shape, a memory per person.

torch is imported only when an engine has to be built.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import engines
from mocap.assets import asset_path
from mocap.body.landmarks import NUM_LANDMARKS
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.clock import Clock
from mocap.errors import MocapError
from mocap.models.kinematic_observe import Sight
from mocap.people.landmarks import FEATURES
from mocap.types import Array, Camera, Frame, Person, PoseEstimate

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "capture_live.npz"
GAP_S = 1.0  # after a longer silence the past says nothing
UNKNOWN_PITCH = 9.0  # rad, in place of the camera's: no angle, so that no true one is meant
TOKENS = NUM_JOINTS + 2  # joints, shape, camera
SEEN: dict[str, tuple[int, ...]] = {  # what the network takes of a frame, by name: shape
    "landmarks_px": (NUM_LANDMARKS, 3),
    "landmarks_world": (NUM_LANDMARKS, 3),
    "visibility": (NUM_LANDMARKS,),
    "roi": (4,),
    "camera": (4,),
    "shape": (NUM_BETAS + 1,),
    "image": FEATURES,  # zeros where the landmark network was not asked for them
}
_POSE, _PAST, _NEW = ("R", "betas"), ("keys", "values", "age", "known"), ("key", "value")


class _Memory:
    """One person's past, as :class:`mocap.models.temporal.TemporalStep` wants it: a ring, the oldest is overwritten.

    Keys and values lie where the engine runs, and never leave its GPU.
    """

    def __init__(self, engine: engines.Engine) -> None:
        self.keys, self.values = engine.zeros("keys"), engine.zeros("values")
        self.t = np.full((1, *engine.spec.inputs["age"].shape), -np.inf)  # s; minus infinity: nothing there
        self.last, self._next = -np.inf, 0

    def at(self, t: float) -> engines.Values:
        """The past as seen at time ``t``, s; none after a long silence."""
        if t - self.last > GAP_S:
            self.t[:] = -np.inf
        known = np.isfinite(self.t)
        age = np.where(known, t - self.t, 0).astype(np.float32)
        return {"keys": self.keys, "values": self.values, "age": age, "known": known.astype(np.float32)}

    def write(self, t: float, key: engines.Value, value: engines.Value) -> None:
        """Keep a frame's key and value, each (depth, J, heads, D / heads)."""
        self.keys[0, ..., self._next, :], self.values[0, ..., self._next, :] = key, value
        self.t[0, self._next] = self.last = t
        self._next = (self._next + 1) % self.t.shape[1]


class TokenCapture:
    """Poses from landmarks, one state per track id; no person's pose depends on who else is there.

    Call it with every frame's persons. Landmarks that are not finite count as missing; where the network fails the
    estimate is NaN, which ``Motion`` holds, and that person's memory starts anew.

    Args:
        engine: backend, see :func:`engines.compile`.
        max_people: that the engine gets ready for.
        forget_s: an id's state is dropped when it was not seen for longer, s.
        weights: file (.npz); the shipped one when not given.
        cache_dir: of the engines.

    Raises:
        MocapError: the weights are missing or broken.
        engines.EngineError: the engine is not there or cannot be built.
    """

    def __init__(
        self,
        engine: str = "auto",
        max_people: int = 1,
        forget_s: float = 2.0,
        weights: Path | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self._engine = engines.compile(step_network(weights, max_people), engine, cache_dir=cache_dir)
        self._memories: dict[int, _Memory] = {}
        self._forget_s, self._clock = forget_s, Clock()

    def __call__(self, frame: Frame, persons: Sequence[Person], camera: Camera) -> list[PoseEstimate]:
        """One estimate per person, in their order."""
        t = self._clock(float(frame.t_capture))
        self._memories = {i: known for i, known in self._memories.items() if t - known.last <= self._forget_s}
        if not persons:
            return []
        memories = [self._memories.get(person.track_id) or _Memory(self._engine) for person in persons]
        pasts = [memory.at(t) for memory in memories]
        past = {name: engines.join([one[name] for one in pasts]) for name in _PAST}
        given = {**seen(persons, camera), **past}
        out = self._engine({name: given[name] for name in self._engine.spec.inputs}, keep=_NEW)
        for index, (person, memory) in enumerate(zip(persons, memories, strict=True)):
            if all(np.isfinite(out[name][index]).all() for name in _POSE):  # a frame attends to its own key and value
                memory.write(t, *(out[name][index] for name in _NEW))
                self._memories[person.track_id] = memory
            else:
                self._memories.pop(person.track_id, None)
        return estimates(persons, camera, out)


def estimates(persons: Sequence[Person], camera: Camera, out: dict[str, Array]) -> list[PoseEstimate]:
    """The network's ``R`` (P, 22, 3, 3) and ``betas`` (P, 10) as poses; hands are straight."""
    R = np.tile(np.eye(3, dtype=np.float32), (len(persons), NUM_JOINTS, 1, 1))
    R[:, : out["R"].shape[1]] = out["R"]
    confidence = Sight(persons, camera).joints_seen().astype(np.float32)
    return [PoseEstimate(p.track_id, R[i], out["betas"][i], confidence[i]) for i, p in enumerate(persons)]


def seen(persons: Sequence[Person], camera: Camera) -> dict[str, Array]:
    """:data:`SEEN` of P persons; what is not finite is missing."""
    px = np.array([person.landmarks_px for person in persons], np.float32)
    world = np.array([person.landmarks_world for person in persons], np.float32)
    visibility = np.array([person.visibility for person in persons], np.float32)
    rois = [(*person.roi.center_px, person.roi.size_px, person.roi.rotation) for person in persons]
    roi = np.array(rois, np.float32)
    good = np.isfinite(px).all(-1) & np.isfinite(world).all(-1) & np.isfinite(visibility)
    good &= np.isfinite(roi).all(-1, keepdims=True)
    image = np.zeros((len(persons), *FEATURES), np.float32)
    for row, person in zip(image, persons, strict=True):
        if person.features is not None and np.isfinite(person.features).all():
            row[:] = person.features
    pitch = np.arcsin(np.clip(-camera.R_world_camera[1, 2], -1, 1)) if camera.calibrated else UNKNOWN_PITCH
    finite_roi = np.isfinite(roi).all(-1, keepdims=True)
    arrays = {
        "landmarks_px": np.where(good[..., None], px, 0),
        "landmarks_world": np.where(good[..., None], world, 0),
        "visibility": np.where(good, visibility, -1),
        "roi": np.where(finite_roi, roi, [[*camera.center_px, camera.height, 0.0]]),
        "camera": np.tile([camera.focal_px, *camera.center_px, pitch], (len(persons), 1)),
        "shape": np.zeros((len(persons), NUM_BETAS + 1)),
        "image": image,
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def step_network(weights: Path | None = None, max_people: int = 1) -> engines.Network:
    """The network for one frame of P persons: :data:`SEEN` and the past in; ``R`` (P, 22, 3, 3), ``betas`` (P, 10) and
    the frame's ``key`` and ``value`` out.
    """
    sizes = read_sizes(weights or asset_path(WEIGHTS))
    temporal = sizes["temporal"]
    kept, heads = temporal["window"] - 1, temporal["heads"]
    past = (temporal["depth"], TOKENS, heads, kept, temporal["width"] // heads)
    memory = {"keys": past, "values": past, "age": (kept,), "known": (kept,)}
    shapes = {**seen_shapes(sizes), **memory}
    return part_network("CaptureStep", (), weights, shapes, (*_POSE, *_NEW), max_people)


def seen_shapes(sizes: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What a network of these sizes takes of :data:`SEEN`: some see no picture."""
    return {name: shape for name, shape in SEEN.items() if name != "image" or sizes["regressor"]["image_channels"]}


def part_network(
    part: str,
    arguments: tuple[int, ...],
    weights: Path | None,
    shapes: dict[str, tuple[int, ...]],
    outputs: tuple[str, ...],
    max_people: int = 1,
) -> engines.Network:
    """One of the modules of ``mocap.models.capture`` that take a network (and ``arguments``)."""
    path = weights or asset_path(WEIGHTS)
    inputs = {name: engines.TensorSpec(shape) for name, shape in shapes.items()}
    spec = engines.EngineSpec(inputs=inputs, outputs=outputs, max_batch=max_people)

    def trial() -> engines.Trial:
        from mocap.models import parity  # imports torch and a video decoder: only to build

        return parity.capture(spec)

    return engines.Network(
        name=part.lower(),
        build=functools.partial(_build, path, part, arguments),
        spec=spec,
        weights_key=_weights_key(path, part, arguments),
        trial=trial,
    )


def sample(shapes: dict[str, tuple[int, ...]], persons: int = 2) -> dict[str, np.ndarray]:
    """Made-up inputs of a sensible size, the same ones each time."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.3, (persons, *shape)).astype(np.float32) for name, shape in shapes.items()}
    typical: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "landmarks_px": lambda x: 400 + 300 * x,
        "visibility": np.abs,
        "roi": lambda x: 0 * x + [400, 400, 500, 0.1],
        "camera": lambda x: 0 * x + [900, 640, 360, 0.1],
        "age": lambda x: np.abs(x).cumsum(1)[:, ::-1],
        "t": lambda x: np.abs(x).cumsum(1),
        "known": lambda x: x > 0,
    }
    return {name: np.asarray(typical.get(name, np.array)(x), np.float32) for name, x in arrays.items()}


def read_sizes(path: Path) -> dict[str, Any]:
    """The sizes in a file of weights, without torch.

    Raises:
        MocapError: it is missing, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            sizes: dict[str, Any] = json.loads(str(file["config"]))
        sizes["temporal"]["window"], sizes["regressor"]["width"], sizes["regressor"]["image_channels"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MocapError(f"{path}: expected the learned capture's weights (.npz), found others ({error})") from error
    return sizes


def _build(path: Path, part: str, arguments: tuple[int, ...]) -> nn.Module:
    from mocap.models import capture

    module: nn.Module = getattr(capture, part)(capture.load_capture(path), *arguments)
    return module.eval()


def _weights_key(path: Path, part: str, arguments: tuple[int, ...]) -> str:
    """Hash of the weights, of the tokenizer's, and of the code that reads them."""
    here = Path(__file__).parent
    names = ("capture", "regressor", "temporal", "layers", "tokenizer", "tokenizer_networks", "quantizer")
    sources = (path, asset_path("tokenizer_live.npz"), *(here / f"{name}.py" for name in names))
    told = f"{part} {arguments}".encode()
    return hashlib.sha256(told + b"".join(Path(source).read_bytes() for source in sources)).hexdigest()
