"""Make a trained pose tokenizer an asset: ``tokenizer_live.npz`` in half precision, and what is known of it beside it.

    python -m training.export_tokenizer out/tokenizer_live --corpus out/corpus

The weights are the moving average of the run's best checkpoint. Figures are measured on the written file, not on the
run, so that they hold for what ships.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mocap.assets import asset_path
from mocap.errors import MocapError
from mocap.models.tokenizer import load_tokenizer, save_tokenizer
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import evaluate, load_run, table

ASSET = "tokenizer_live.npz"
OWN = "Apache-2.0 (this project)"
# Terms of the motion that the weights were learned from; none of the motion itself is in them.
LICENCES = {
    "accad_c3d": "CC BY 3.0 (ACCAD, The Ohio State University; as reported by a secondary source)",
    "accad": "CC BY 3.0 (ACCAD, The Ohio State University; as reported by a secondary source)",
    "cmu_amc": "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu, NSF EIA-0196217): free for all uses",
    "cmu_eval": "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu, NSF EIA-0196217): free for all uses",
    "cmu_iclone": "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu, NSF EIA-0196217): free for all uses",
    "deepmimic": "MIT (DeepMimic, Xue Bin Peng)",
    "recombined": OWN,
    "scripted": OWN,
}


def export(
    run: Path,
    out: Path,
    corpus: Corpus,
    splits: Sequence[str] = ("val", "test", "ood"),
    most: int = 20_000,
    licences: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Write ``out`` and its sidecar, both or neither, and return the sidecar.

    Args:
        run: Folder of a run of ``training.train_tokenizer``.
        splits: Where it is measured.
        most: Poses of each split at most.
        licences: By source of the corpus, beside those known here.

    Raises:
        MocapError: there is no trained run, or nothing is known of the licence of a source that it was trained on.
    """
    terms = training_licences(corpus, {**LICENCES, **(licences or {})})
    model, note = load_run(run), read_note(run)
    unfinished = out.with_name(f"unfinished_{out.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_tokenizer(model, unfinished, {}, half=True)
        figures = evaluate(load_tokenizer(unfinished, expected=model.config), corpus, list(splits), most)
        size = {"bytes": unfinished.stat().st_size, "weights": sum(w.numel() for w in model.weights().values())}
        sidecar: dict[str, Any] = {
            "what": "Pose tokenizer (VQ-VAE): 21 SMPL joint rotations <-> tokens; float16",
            "made_by": f"python -m training.train_tokenizer; python -m training.export_tokenizer {run.name}",
            "licence": OWN,
            "size": size,
            "figures": figures,
            "trained_on": {"licences": terms, **summary(corpus)},
            "step": note["step"],
            **{key: note[key] for key in ("loss", "noise", "train", "versions") if key in note},
        }
        save_tokenizer(model, unfinished, sidecar, half=True)
        os.replace(unfinished, out)
        os.replace(unfinished.with_suffix(".json"), out.with_suffix(".json"))
    finally:
        for path in (unfinished, unfinished.with_suffix(".json")):
            path.unlink(missing_ok=True)
    return sidecar


def training_licences(corpus: Corpus, known: dict[str, str] = LICENCES) -> dict[str, str]:
    """The licence of every source that has frames in the training set.

    Raises:
        MocapError: one is not known.
    """
    clips = corpus.clips
    rows = np.unique(clips["source"][clips["split"] == 0])
    sources = [str(name) for name in clips["source_names"][rows]]
    if unknown := [source for source in sources if source not in known]:
        raise MocapError(
            f"expected the licence of every source that the weights were learned from, found none for "
            f"{', '.join(unknown)}; give --licence '{unknown[0]}=TEXT'"
        )
    return {source: known[source] for source in sources}


def summary(corpus: Corpus) -> dict[str, Any]:
    """Of the corpus' description what fits in a sidecar."""
    description = corpus.description()
    short: dict[str, Any] = {
        key: description[key] for key in ("distinct_m", "distinct", "frames", "hours") if key in description
    }
    return {"script": "python -m training.make_corpus", "config": description.get("config", {}), **short}


def read_note(run: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return note


def _licence(text: str) -> tuple[str, str]:
    source, equals, terms = text.partition("=")
    if not (source and equals and terms):
        raise argparse.ArgumentTypeError(f"expected SOURCE=TEXT, found '{text}'")
    return source, terms


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export_tokenizer", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run of training.train_tokenizer")
    parser.add_argument("--corpus", type=Path, default=Path("out/corpus"))
    parser.add_argument("--out", type=Path, default=asset_path(ASSET))
    parser.add_argument("--most", type=int, default=20_000, help="poses of each split that are measured")
    parser.add_argument("--licence", type=_licence, action="append", default=[], metavar="SOURCE=TEXT")
    options = parser.parse_args(arguments)
    try:
        sidecar = export(
            options.run, options.out, Corpus.open(options.corpus), most=options.most, licences=dict(options.licence)
        )
    except (MocapError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    print("\n".join(table(sidecar["figures"])))
    print(f"{options.out}: {sidecar['size']['bytes'] / 1e6:.2f} MB, {sidecar['size']['weights']:,} weights")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
