"""Published systems in the live loop: released checkpoints become one file each, and that a regressor.

    import_checkpoint("tokenhmr", [Path("tokenhmr_model.ckpt"), Path("tokenizer.pth")])
    regressor = load_regressor("tokenhmr")  # mocap live --regressor tokenhmr

Imported files lie in the user's data directory (``MOCAP_CHECKPOINTS`` names another): weights as safetensors, and a
JSON sidecar with what they are and where they come from.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor, nn

import engines
from mocap.body.limb_lengths import MAX_BETA, betas_from_lengths, limb_lengths
from mocap.body.mesh_fit import MeshFit
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, Skeleton, load_skeleton
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.errors import MocapError
from mocap.models import independent_tokens, tokenhmr_checkpoint, vqhps_checkpoint
from mocap.models.checkpoints import read_file
from mocap.models.image_regressor import ImageRegressor
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig, Tokens
from mocap.models.tokenhmr import TokenHmr, TokenHmrConfig
from mocap.models.weights import load_weights
from mocap.types import Array

FOLDER = "MOCAP_CHECKPOINTS"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's RGB
_SMPL, _BODY = "smpl.", [item.name for item in dataclasses.fields(SmplArrays)]  # the licensed body, in an imported file


class Upright(nn.Module):
    """Takes crops as the loop cuts them, (B, S, S, 3) in [0, 1]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(_MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION), persistent=False)

    def picture(self, image: Tensor) -> Tensor:
        """(B, 3, S, S), less ImageNet's mean and over its deviation."""
        return ((image - self.mean) / self.deviation).permute(0, 3, 1, 2)


class LivePose(Upright):
    """A network that gives ``R`` and ``betas`` of a picture."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = self.network(self.picture(image))
        return {"R": found["R"], "betas": found["betas"]}


class LiveClip(Upright):
    """Independent tokens: a new frame, with the tokens of the frames before it."""

    network: IndependentTokens

    def forward(self, image: Tensor, past: Tensor, known: Tensor) -> dict[str, Tensor]:
        """With past tokens (B, T - 1, 24, D), oldest first; this frame's stand in where ``known`` (B, T - 1) is 0."""
        seen = self.network.encode(self.picture(image)[:, None])
        before = torch.where(known[..., None, None] > 0, past, seen.joints)
        found = self.network.decode(Tokens(torch.cat([before, seen.joints], 1), seen.shape, seen.camera))
        return {"R": found["R"][:, -1], "betas": found["betas"][:, -1], "tokens": seen.joints[:, 0]}


class LiveMesh(Upright):
    """A network that gives vertices."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"vertices": self.network(self.picture(image))}


@dataclass(frozen=True)
class System:
    """What sets one system apart."""

    files: str  # that a user brings, in words
    config: type
    build: Callable[[Any, Mapping[str, Tensor]], nn.Module]  # of a configuration, for these weights
    read: Callable[[Sequence[Path], Any, SmplArrays | None], nn.Module]  # released files and SMPL's body -> the network
    live: Callable[[Any], nn.Module]
    side: Callable[[Any], int]  # of the picture, px
    margin: float = 1.2  # side of the crop over the box around the landmarks
    aspect: float = 1.0  # width over height of what the network sees of the crop


SYSTEMS: dict[str, System] = {
    "tokenhmr": System(
        files="tokenhmr_model.ckpt and tokenizer.pth",
        config=TokenHmrConfig,
        build=lambda config, _: TokenHmr(config),
        read=lambda files, config, _: tokenhmr_checkpoint.read(files, config or tokenhmr_checkpoint.RELEASED),
        live=LivePose,
        side=lambda config: int(config.side),
        aspect=0.75,  # a quarter of the columns is cut off
    ),
    "int": System(
        files="the checkpoint (.pth.tar) with 'state_dict'",
        config=IndependentTokensConfig,
        build=lambda config, _: IndependentTokens(config),
        read=lambda files, config, _: independent_tokens.read(files, config),
        live=LiveClip,
        side=lambda config: int(config.picture),
        margin=1.1,
    ),
    "vqhps": System(
        files=vqhps_checkpoint.WANTED,
        config=vqhps_checkpoint.ReleasedConfig,
        build=vqhps_checkpoint.build,
        read=vqhps_checkpoint.read,
        live=lambda network: LiveMesh(network.alone()),
        side=lambda config: int(config.side),
    ),
}


def path_of(system: str) -> Path:
    """Where an imported checkpoint lies when nobody says otherwise."""
    given = os.environ.get(FOLDER)
    folder = Path(given) if given else Path(platformdirs.user_data_dir("mocap", appauthor=False)) / "checkpoints"
    return folder / f"{system}.safetensors"


def import_checkpoint(
    system: str, files: Sequence[Path], smpl: Path | None = None, out: Path | None = None, config: Any = None
) -> Path:
    """Reads released files, strictly, and writes ours.

    Args:
        system: One of :data:`SYSTEMS`.
        files: What was released, in any order.
        smpl: The licensed SMPL file, whose shape coefficients the system speaks of. Without it captured bodies have
            the mean shape.
        out: Where to; :func:`path_of` when not given.
        config: Sizes of the network, where they are not the released ones.

    Returns:
        What was written.

    Raises:
        MocapError: there is no such system, a file is missing, is not that, or holds code or other tensors.
    """
    known = _known(system)
    body = None if smpl is None else read_smpl(smpl)
    network = known.read(files, config, body)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if body is not None:
        arrays = {name: getattr(body, name) for name in _BODY}
        weights |= {
            _SMPL + name: torch.from_numpy(np.ascontiguousarray(array))
            for name, array in arrays.items()
            if array is not None
        }
    path = out or path_of(system)
    _write(path, system, dataclasses.asdict(network.config), weights, [*files, *([smpl] if smpl else [])])  # type: ignore[call-overload]
    return path


def load_network(system: str, path: Path | None = None) -> nn.Module:
    """What was imported, in evaluation mode.

    Raises:
        MocapError: it was not imported, or the file is another.
    """
    path = path or path_of(system)
    known, about = _known(system), _about(system, path)
    weights = {name: tensor for name, tensor in read_file(path).items() if not name.startswith(_SMPL)}
    network = known.build(from_dict(known.config, about["config"]), weights)
    load_weights(network, weights, str(path))
    return network.eval()


def load_body(path: Path) -> SmplArrays | None:
    """SMPL's body in an imported file, where it was there."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        found = {name: file.get_tensor(_SMPL + name) for name in _BODY if _SMPL + name in file.keys()}  # noqa: SIM118
    return SmplArrays(**{"posedirs": None, **found}) if found else None


def as_network(system: str, max_people: int = 1, path: Path | None = None) -> engines.Network:
    """An imported system as the engines want it."""
    path = path or path_of(system)
    about, known = _about(system, path), _known(system)
    config = from_dict(known.config, about["config"])
    side = known.side(config)
    inputs = {"image": engines.TensorSpec((side, side, 3))}
    outputs: tuple[str, ...] = ("vertices",) if system == "vqhps" else ("R", "betas")
    if known.live is LiveClip:
        frames = (config.frames or 1) - 1
        if frames < 1:
            raise MocapError(f"{path}: expected INT's network with places in time, found one of single pictures")
        inputs |= {
            "past": engines.TensorSpec((frames, NUM_JOINTS, config.width)),
            "known": engines.TensorSpec((frames,)),
        }
        outputs = (*outputs, "tokens")

    def trial() -> engines.Trial:
        from mocap.models import parity  # a video decoder: only to build

        given = {"image": parity.squares(side, known.margin, known.aspect)}
        rng, count = np.random.default_rng(0), len(given["image"])
        more = {name: rng.normal(size=(count, *spec.shape)).astype(np.float32) for name, spec in inputs.items()}
        more |= {"known": np.ones((count, *inputs["known"].shape), np.float32)} if "known" in inputs else {}
        errors = parity.vertex_errors if "vertices" in outputs else parity.joint_errors
        return engines.Trial({**more, **given}, errors, parity.LIMIT_MM)

    return engines.Network(
        name=system,
        build=lambda: known.live(load_network(system, path)).eval(),
        spec=engines.EngineSpec(inputs, outputs, max_people),
        weights_key=about["sha256"] + json.dumps(about["config"], sort_keys=True) + _code(),
        trial=trial,
    )


def load_regressor(
    system: str, engine: str = "auto", max_people: int = 1, path: Path | None = None, cache_dir: Path | None = None
) -> ImageRegressor:
    """An imported system in the live loop.

    Raises:
        MocapError: it was not imported.
        engines.EngineError: the engine is not there or cannot be built.
    """
    compiled = engines.compile(as_network(system, max_people, path), engine, cache_dir=cache_dir)
    body = load_body(path or path_of(system))
    fit = MeshFit(body) if body is not None and "vertices" in compiled.spec.outputs else None
    known, shape = _known(system), functools.partial(shape_of, skeleton_of(body))
    return ImageRegressor(compiled, known.margin, fit, shape, known.aspect)


def skeleton_of(body: SmplArrays | None) -> Skeleton | None:
    """The joints of a body alone."""
    if body is None:
        return None
    return Skeleton(body.J_regressor @ body.v_template, np.tensordot(body.J_regressor, body.shapedirs, 1))


def shape_of(skeleton: Skeleton | None, betas: Array) -> Array:
    """SMPL's betas (B, 10) as the open body's: those of the body with the same limb lengths; the mean body's without
    SMPL's skeleton."""
    if skeleton is None:
        return np.zeros((len(betas), NUM_BETAS), np.float32)
    finite = np.isfinite(betas).all(1, keepdims=True)
    lengths = limb_lengths(skeleton.rest_joints(np.clip(np.where(finite, betas, 0), -MAX_BETA, MAX_BETA)))
    return np.where(finite, betas_from_lengths(load_skeleton(), lengths), np.nan).astype(np.float32)


def from_dict(cls: type, values: Mapping[str, Any]) -> Any:
    """What ``dataclasses.asdict`` made of a configuration, as one again, whatever lies in it."""
    hints, made = typing.get_type_hints(cls), {}
    for name, value in values.items():
        kinds = [kind for kind in (typing.get_args(hints[name]) or [hints[name]]) if dataclasses.is_dataclass(kind)]
        if kinds and isinstance(value, Mapping):
            value = from_dict(typing.cast(type, kinds[0]), value)
        made[name] = tuple(value) if isinstance(value, list) else value
    return cls(**made)


def _known(system: str) -> System:
    if system not in SYSTEMS:
        raise MocapError(f"expected a system of {', '.join(SYSTEMS)}; found '{system}'")
    return SYSTEMS[system]


def _write(
    path: Path, system: str, config: Mapping[str, Any], weights: Mapping[str, Tensor], sources: Sequence[Path]
) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(weights), part)
        files = [source.name for source in sources]
        about = {"system": system, "config": config, "files": files, "sha256": _sha256(part)}
        os.replace(part, path)
        path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise MocapError(
            f"{path}: expected a file that can be written, found {error}; free space, or set {FOLDER}"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _about(system: str, path: Path) -> dict[str, Any]:
    """The sidecar of an imported file."""
    _known(system)
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found = about["system"], about["config"], about["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MocapError(
            f"expected {system}'s imported checkpoint {path}, found none; you bring {SYSTEMS[system].files}: "
            f"mocap import-checkpoint FILE... --system {system}"
        ) from error
    if found[0] != system:
        raise MocapError(f"{path}: expected a checkpoint of {system}, found one of {found[0]}")
    return typing.cast("dict[str, Any]", about)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def _code() -> str:
    """Hash of the code of all networks."""
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), here.parent / "body" / "torch_rotations.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
