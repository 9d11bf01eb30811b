"""Contact sheet of the corpus on the open body: ``python -m training.render_corpus out/corpus --out sheet.jpg``.

One row per kind of motion (recorded, recombined, scripted): random frames, seen a little from a side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mocap.body.model import load_body
from mocap.body.skeleton import NUM_BETAS
from mocap.errors import MocapError
from training.corpus.kinematics import with_hands
from training.datasets.corpus import Corpus
from training.datasets.kinematics import remove_heading
from training.render_body import BodyRenderer

YAW = 35.0  # degrees, that bodies are turned to the left


def contact_sheet(
    corpus: Corpus, kinds: list[str], columns: int = 8, size: int = 130, seed: int = 0, split: str = "train"
) -> Image.Image:
    """Random frames of each kind."""
    renderer, rng = BodyRenderer(load_body(), size, width_m=2.1), np.random.default_rng(seed)
    sheet = Image.new("RGB", (columns * size, len(kinds) * size))
    draw = ImageDraw.Draw(sheet)
    for row, kind in enumerate(kinds):
        for column, R in enumerate(_frames(corpus, kind, split, columns, rng)):
            picture = renderer.picture(R, np.zeros(NUM_BETAS), YAW)
            sheet.paste(Image.fromarray(picture), (column * size, row * size))
        draw.text((4, row * size + 2), kind, fill=(20, 20, 20))
    return sheet


def _frames(corpus: Corpus, kind: str, split: str, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random poses (count, 24, 3, 3) of a kind, facing ahead, from as many clips as there are."""
    kinds = corpus.clips["kind_names"][corpus.clips["kind"]]
    rows = corpus.frames(split)
    clip = np.searchsorted(corpus.clips["start"], rows, side="right") - 1
    rows = rows[kinds[clip] == kind]
    if not len(rows):
        raise MocapError(f"no clip of kind {kind!r} in {corpus.folder}; there are {', '.join(np.unique(kinds))}")
    R = corpus.rotations(np.sort(rng.choice(rows, count))).numpy()
    return with_hands(remove_heading(R))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="*", help="kinds of motion; all by default")
    parser.add_argument("--columns", type=int, default=8, help="frames of each kind")
    parser.add_argument("--size", type=int, default=130, help="pixels of one picture")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus)
    kinds = options.kinds or [str(kind) for kind in corpus.clips["kind_names"]]
    sheet = contact_sheet(corpus, kinds, options.columns, options.size, options.seed)
    sheet.save(options.out, quality=80, optimize=True)


if __name__ == "__main__":
    main()
