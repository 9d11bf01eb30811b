"""Contact sheet of the corpus on the open body: ``python -m training.render_corpus out/corpus --out sheet.jpg``.

Random frames of each kind of motion: recorded, recombined, and all kinds of scripted motion.
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


ABREAST = 2  # kinds in a row of the sheet


def contact_sheet(corpus: Corpus, kinds: list[str], columns: int = 6, size: int = 100, seed: int = 0) -> Image.Image:
    """Random training frames of each kind, ``columns`` of them."""
    rng = np.random.default_rng(seed)
    frames = [_frames(corpus, kind, columns, rng) for kind in kinds]
    renderer = BodyRenderer(load_body(), size, width_m=2.0)
    sheet = Image.new("RGB", (ABREAST * columns * size, -(-len(kinds) // ABREAST) * size))
    draw = ImageDraw.Draw(sheet)
    for index, (kind, poses) in enumerate(zip(kinds, frames, strict=True)):
        top, left = size * (index // ABREAST), size * columns * (index % ABREAST)
        for column, R in enumerate(poses):
            picture = Image.fromarray(renderer.picture(R, np.zeros(NUM_BETAS), YAW))
            sheet.paste(picture, (left + column * size, top))
        draw.text((left + 4, top + 2), kind, fill=(20, 20, 20))
    return sheet


def _frames(corpus: Corpus, kind: str, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random poses (count, 24, 3, 3) of a kind, facing ahead."""
    kinds = corpus.clips["kind_names"][corpus.clips["kind"]]
    rows = corpus.frames("train")
    clip = np.searchsorted(corpus.clips["start"], rows, side="right") - 1
    rows = rows[kinds[clip] == kind]
    if not len(rows):
        raise MocapError(f"no clip of kind {kind!r} in {corpus.folder}; there are {', '.join(np.unique(kinds))}")
    return with_hands(remove_heading(corpus.rotations(np.sort(rng.choice(rows, count))).numpy()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="*", help="kinds of motion; all by default")
    parser.add_argument("--columns", type=int, default=6, help="frames of each kind")
    parser.add_argument("--size", type=int, default=100, help="pixels of one picture")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus)
    kinds = options.kinds or [str(kind) for kind in corpus.clips["kind_names"]]
    sheet = contact_sheet(corpus, kinds, options.columns, options.size, options.seed)
    sheet.save(options.out, quality=80, optimize=True)


if __name__ == "__main__":
    main()
