"""The learned capture on what a landmark network saw of one person over a clip, without the live loop."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.assets import asset_path
from mocap.body.torch_kinematics import with_hands
from mocap.errors import MocapError
from mocap.models.capture import CaptureNetwork, config_of, load_capture
from mocap.models.tokenizer import PoseTokenizer, load_tokenizer
from training.evaluation.track import Answer, Track
from training.harness import load_weights

Mode = Literal["frame", "causal", "lookahead", "full"]
LOOKAHEAD = 4  # frames


def load_network(path: Path, tokenizer: PoseTokenizer | None = None) -> CaptureNetwork:
    """From the product's weights (.npz), or from a checkpoint of ``training.train_capture`` (its averaged weights), the
    latter with the shipped tokenizer or another.

    Raises:
        MocapError: the file is missing, or something else.
    """
    if path.suffix == ".npz" or not path.is_file():
        return load_capture(path)
    try:
        sizes: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["network"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise MocapError(f"{path}: expected a checkpoint of training.train_capture, found another file") from error
    network = CaptureNetwork(config_of(sizes, str(path)), tokenizer or load_tokenizer(asset_path("tokenizer_live.npz")))
    try:
        load_weights(path, network, sizes)
    except RuntimeError as error:
        raise MocapError(f"{path}: expected the learned capture, found another network ({error})") from error
    return network.eval()


@torch.no_grad()
def predict(
    network: CaptureNetwork,
    track: Track,
    mode: Mode,
    shape: NDArray[np.float64] | None = None,
    logits_noise: float = 0.0,
) -> Answer:
    """Poses of all frames.

    Args:
        network: In evaluation mode.
        track: T frames.
        mode: ``frame``: no frame knows of another; ``causal``: of those before, as live; ``lookahead``: and of the four
            that follow; ``full``: of all, as far as the window reaches.
        shape: (10,) the true betas, if an oracle tells them.
        logits_noise: Standard deviation of Gaussian noise on the tokens' logits, before their softmax.
    """
    seen = _inputs(track, shape)
    t, known = torch.as_tensor(track.t, dtype=torch.float32), torch.from_numpy(track.seen)
    tokens = network.regressor(**seen)
    if mode == "lookahead":
        tokens = _with_lookahead(network, tokens, t, known)
    elif mode != "frame":
        causal = torch.full((1,), mode == "causal")
        tokens = network.temporal(tokens[None], t[None], known[None], causal)[0]
    noise = None
    if logits_noise:
        sizes = network.config.regressor.tokenizer
        generator = torch.Generator().manual_seed(0)
        noise = logits_noise * torch.randn(len(tokens), sizes.tokens, sizes.codes, generator=generator)
    out = network.heads(tokens, seen["roi"], seen["camera"], noise)
    answer = Answer(with_hands(out["R"]).double().numpy(), out["betas"].double().numpy())
    if mode == "frame":  # nothing to go by where nobody is seen
        answer.R_parent_joint[~track.seen], answer.betas[~track.seen] = np.nan, np.nan
    return answer


def _inputs(track: Track, shape: NDArray[np.float64] | None) -> dict[str, Tensor]:
    """The network's inputs (T, …)."""
    count = len(track)
    visibility = np.where(track.seen[:, None], track.visibility, -1)
    roi = np.where(track.seen[:, None], track.roi, [0.5 * track.size[0], 0.5 * track.size[1], track.size[1], 0])
    camera = [track.focal_px, 0.5 * track.size[0], 0.5 * track.size[1], track.pitch]
    betas = np.zeros(11) if shape is None else np.append(shape, 1.0)
    arrays = {
        "landmarks_px": track.landmarks_px,
        "landmarks_world": track.landmarks_world,
        "visibility": visibility,
        "roi": roi,
        "camera": np.tile(camera, (count, 1)),
        "shape": np.tile(betas, (count, 1)),
        "image": track.features,
    }
    return {name: torch.as_tensor(array, dtype=torch.float32) for name, array in arrays.items()}


def _with_lookahead(network: CaptureNetwork, tokens: Tensor, t: Tensor, known: Tensor) -> Tensor:
    """For each frame its window and the four frames that follow, seen to both sides, as ``TokenLookahead`` has them."""
    window = network.config.temporal.window
    both = torch.zeros(1, dtype=torch.bool)
    frames = []
    for now in range(len(t)):
        part = slice(max(0, now + 1 - window), now + LOOKAHEAD + 1)
        out = network.temporal(tokens[None, part], t[None, part], known[None, part], both)
        frames.append(out[0, now - part.start])
    return torch.stack(frames)
