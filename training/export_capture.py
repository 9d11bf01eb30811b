"""Make the trained learned capture an asset: ``capture_live.npz`` in half precision, and what is known of it beside it.

    python -m training.export_capture --run out/capture_live --validation out/pairs_val_clips

The weights are the moving average of the run's best checkpoint; of several runs, which must go back to the same one,
the mean of theirs (Wortsman et al., Model soups, 2022). Figures are measured on the written file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mocap.assets import asset_path
from mocap.body.torch_figure import Figure
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.capture import CaptureNetwork, load_capture, save_capture
from training.capture.predict import load_network
from training.capture.shards import load_shards
from training.capture.validation import errors_mm
from training.datasets.corpus import Corpus
from training.export_tokenizer import OWN, read_note, summary, training_licences
from training.options import run

ASSET = "capture_live.npz"
_NOTED = ("step", "start", "rendered", "lively", "loss", "knowledge", "train", "versions")
_BLAZEPOSE = "Apache-2.0 (MediaPipe's BlazePose, whose landmarks of rendered people were learned from)"


@dataclass(frozen=True)
class ExportConfig:
    """What to write."""

    run: list[str] = option(
        ["out/capture_live"], "folder of a run of training.train_capture; of several the mean is taken", "DIR"
    )
    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    validation: str = option("out/pairs_val_clips", "rendered clips that the figures are measured on", "DIR")
    out: str = option("", "file (.npz); empty: the asset", "FILE")


def export(config: ExportConfig) -> None:
    """Write the asset and its sidecar.

    Raises:
        MocapError: there is no trained run, or nothing is known of the licence of something that it learned from.
    """
    folders, out = [Path(folder) for folder in config.run], Path(config.out) if config.out else asset_path(ASSET)
    network, corpus = mean([load_network(folder / "best.ckpt") for folder in folders]), Corpus.open(Path(config.corpus))
    made_of = " ".join(config.run)
    notes = {str(folder): read_note(folder) for folder in folders}
    terms = {**training_licences(corpus), "landmarks": _BLAZEPOSE}
    save_capture(network, out, {})
    shards, figure = load_shards(Path(config.validation), Figure()), Figure()
    clip = shards.clip_frames > 1
    figures = errors_mm(load_capture(out), shards, figure, clip)
    save_capture(
        network,
        out,
        {
            "what": "Learned capture: BlazePose's landmarks -> SMPL rotations and shape, causal over time; float16",
            "made_by": f"python -m training.train_capture; python -m training.export_capture --run {made_of}",
            "licence": OWN,
            "weights": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "figures": {"set": f"{len(shards)} rendered frames of held-out people", **figures},
            "trained_on": {"licences": terms, **summary(corpus)},
            "runs": {folder: {key: note[key] for key in _NOTED} for folder, note in notes.items()},
        },
    )
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB; " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()))


def mean(networks: Sequence[CaptureNetwork]) -> CaptureNetwork:
    """One network with the mean of the weights.

    Raises:
        MocapError: their sizes differ.
    """
    first = networks[0]
    if any(network.config != first.config for network in networks):
        raise MocapError("Expected runs of networks of one size, found different sizes; export one of them")
    states = [network.state_dict() for network in networks]
    averaged = {name: torch.stack([state[name].double() for state in states]).mean(0) for name in states[0]}
    first.load_state_dict({name: value.to(states[0][name].dtype) for name, value in averaged.items()})
    return first


def main() -> int:
    """Command line."""
    return run(ExportConfig, __doc__ or "", export)


if __name__ == "__main__":
    sys.exit(main())
