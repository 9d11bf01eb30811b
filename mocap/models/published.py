"""Published systems in the live loop: released or trained checkpoints become one file each, and that a regressor.

    import_checkpoint("tokenhmr", [Path("tokenhmr_model.ckpt"), Path("tokenizer.pth")])
    import_checkpoint("postometro", [Path("out/postometro/best.ckpt")])  # of training.harness
    regressor = load_regressor("tokenhmr")  # mocap live --regressor tokenhmr

A run of ``training.harness`` can be imported where its last stage keeps to this:

* ``Task.model()`` is the whole network, one of those that :data:`mocap.models.systems.SYSTEMS` builds, and nothing
  else is in its state.
* ``Task.sidecar()["network"]`` holds ``{"system": NAME, "config": dataclasses.asdict(network.config)}``; what stands
  beside these two is not read.
* The body that it was trained on, with any number of vertices, lies beside the checkpoint as ``body.npz``
  (:func:`mocap.body.smpl_file.write_smpl`): meshes have its topology, and betas are its.

A program can also call :func:`save_network` itself.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

import engines
from mocap.body.limb_lengths import MAX_BETA, betas_from_lengths, limb_lengths
from mocap.body.mesh_fit import MeshFit
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, Skeleton, load_skeleton
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.errors import MocapError
from mocap.models.checkpoints import read_file, under
from mocap.models.image_regressor import ImageRegressor
from mocap.models.live_networks import LiveClip
from mocap.models.network_file import (
    from_dict,
    path_of,
    read_about,
    read_body,
    read_network_weights,
    write_network,
)
from mocap.models.systems import known_system
from mocap.models.weights import load_weights
from mocap.types import Array

BODY = "body.npz"  # of a run of training
_RUN = {"network", "model", "ema"}  # entries of a checkpoint of training.harness


def import_checkpoint(
    system: str, files: Sequence[Path], smpl: Path | None = None, out: Path | None = None, config: Any = None
) -> Path:
    """Reads released files, or a checkpoint of ``training.harness``, strictly, and writes ours.

    Args:
        system: One of :data:`mocap.models.systems.SYSTEMS`.
        files: What was released, in any order; or one checkpoint of a run.
        smpl: The licensed SMPL file, whose shape coefficients the system speaks of. Without it captured bodies have
            the mean shape. A run has its own body beside it.
        out: Where to; :func:`path_of` when not given.
        config: Sizes of a released network, where they are not the released ones.

    Returns:
        What was written.

    Raises:
        MocapError: there is no such system, a file is missing, is not that, or holds code or other tensors.
    """
    known = known_system(system)
    run = _run(files)
    if run is not None and smpl is None and (files[0].parent / BODY).is_file():
        smpl = files[0].parent / BODY
    body = None if smpl is None else read_smpl(smpl)
    network = known.read(files, config, body) if run is None else _trained(system, run, str(files[0]))
    return save_network(system, network, body, out, [*files, *([smpl] if smpl else [])])


def save_network(
    system: str, network: nn.Module, body: SmplArrays | None, path: Path | None = None, sources: Sequence[Path] = ()
) -> Path:
    """Writes a network and its body as :func:`load_regressor` reads them, whole or not at all.

    Args:
        network: One that the system builds, with its ``config``.
        body: Whose betas it speaks of and whose topology its vertices have. Networks that give no vertices can do
            without: captured bodies then have the mean shape.
        path: Where to; :func:`path_of` when not given.
        sources: What it was made of, for the sidecar.

    Raises:
        MocapError: it is another network, the body is another's or missing, or the file cannot be written.
    """
    known, config = known_system(system), getattr(network, "config", None)
    if not isinstance(config, known.config):
        raise MocapError(f"expected a network of {system} with {known.config.__name__}, found {type(config).__name__}")
    if "vertices" in known.outputs:
        found = "no body" if body is None else f"one of {len(body.v_template)} vertices"
        if body is None or len(body.v_template) != network.vertices:
            raise MocapError(
                f"expected the body of {system}'s {network.vertices} vertices, found {found}; give it with --smpl, or "
                f"lay it beside the checkpoint as {BODY}"
            )
    path = path or path_of(system)
    write_network(path, system, config, network.state_dict(), body, sources)
    return path


def load_network(system: str, path: Path | None = None) -> nn.Module:
    """What was imported, in evaluation mode.

    Raises:
        MocapError: it was not imported, or the file is another.
    """
    path = path or path_of(system)
    return _built(system, _about(system, path)["config"], read_network_weights(path), str(path))


def load_body(path: Path) -> SmplArrays | None:
    """The body in an imported file, where it was there."""
    return read_body(path)


def as_network(system: str, max_people: int = 1, path: Path | None = None) -> engines.Network:
    """An imported system as the engines want it."""
    path = path or path_of(system)
    about, known = _about(system, path), known_system(system)
    config = from_dict(known.config, about["config"])
    side = known.side(config)
    inputs = {"image": engines.TensorSpec((side, side, 3))}
    outputs = known.outputs
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
    known, shape = known_system(system), functools.partial(shape_of, skeleton_of(body))
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


def _about(system: str, path: Path) -> dict[str, Any]:
    return read_about(path, system, known_system(system).files)


def _built(system: str, config: Mapping[str, Any], weights: Mapping[str, Tensor], source: str) -> nn.Module:
    """The network of a configuration and weights, in evaluation mode."""
    known = known_system(system)
    try:
        network = known.build(from_dict(known.config, config), weights)
    except (KeyError, TypeError, ValueError) as error:
        raise MocapError(f"{source}: expected {system}'s configuration and weights, found others: {error!r}") from error
    load_weights(network, weights, source)
    return network.eval()


def _run(files: Sequence[Path]) -> dict[str, Any] | None:
    """What a checkpoint of ``training.harness`` holds, if it is one."""
    if len(files) != 1 or not files[0].is_file():
        return None
    found = read_file(files[0])
    return found if found.keys() >= _RUN else None


def _trained(system: str, run: Mapping[str, Any], source: str) -> nn.Module:
    """The network of a run: the average of its weights, where it was kept."""
    about = run["network"] if isinstance(run["network"], Mapping) else {}
    if about.get("system") != system or not isinstance(about.get("config"), Mapping):
        found = about.get("system") or "one that names none, such as an earlier stage's"
        raise MocapError(f"{source}: expected a run whose network is of the system {system}, found {found}")
    weights = under("module.", run["ema"]) if run["ema"] else run["model"]
    return _built(system, about["config"], weights, source)


@functools.cache
def _code() -> str:
    """Hash of the code of all networks."""
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), here.parent / "body" / "torch_rotations.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
