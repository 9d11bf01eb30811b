"""Make the trained learned capture an asset: ``capture_live.npz`` in half precision, and what is known of it beside it.

    python -m training.export_capture --run out/capture_live --validation out/pairs_val_clips

The weights are the moving average of the run's best checkpoint. Figures are measured on the written file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mocap.assets import asset_path
from mocap.body.torch_figure import Figure
from mocap.config import option
from mocap.models.capture import load_capture, save_capture
from training.capture.predict import load_network
from training.capture.shards import load_shards
from training.capture.validation import errors_mm
from training.datasets.corpus import Corpus
from training.export_tokenizer import OWN, read_note, summary, training_licences
from training.options import run

ASSET = "capture_live.npz"
_BLAZEPOSE = "Apache-2.0 (MediaPipe's BlazePose, whose landmarks of rendered people were learned from)"


@dataclass(frozen=True)
class ExportConfig:
    """What to write."""

    run: str = option("out/capture_live", "folder of a run of training.train_capture", "DIR")
    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    validation: str = option("out/pairs_val_clips", "rendered clips that the figures are measured on", "DIR")
    out: str = option("", "file (.npz); empty: the asset", "FILE")


def export(config: ExportConfig) -> None:
    """Write the asset and its sidecar.

    Raises:
        MocapError: there is no trained run, or nothing is known of the licence of something that it learned from.
    """
    folder, out = Path(config.run), Path(config.out) if config.out else asset_path(ASSET)
    network, corpus = load_network(folder / "best.ckpt"), Corpus.open(Path(config.corpus))
    note = read_note(folder)
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
            "made_by": f"python -m training.train_capture; python -m training.export_capture --run {config.run}",
            "licence": OWN,
            "weights": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "figures": {"set": f"{len(shards)} rendered frames of held-out people", **figures},
            "trained_on": {
                "licences": terms,
                "rendered": note["rendered"],
                "lively": note["lively"],
                **summary(corpus),
            },
            "step": note["step"],
            **{key: note[key] for key in ("start", "loss", "knowledge", "train", "versions")},
        },
    )
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB; " + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()))


def main() -> int:
    """Command line."""
    return run(ExportConfig, __doc__ or "", export)


if __name__ == "__main__":
    sys.exit(main())
