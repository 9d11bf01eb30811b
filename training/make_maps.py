"""What BlazePose's landmark network makes of rendered people, once, for networks that have it as a frozen backbone.

    python -m training.make_maps --folders out/pictures out/pictures_val

Writes ``maps.npy`` (N, 288, 8, 8) float16 into each folder: the network's innermost map of everybody's upright crop, as
the published systems see it in evaluation, not augmented.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import engines
from mocap.config import option
from mocap.models.blazepose import LANDMARKER, build
from mocap.models.blazepose_backbone import MAP, BlazePoseConfig
from training.datasets.images.rendered import MAPS, MAPS_MARGIN, Rendered
from training.options import run
from training.published.crops import DEVIATION, MEAN
from training.published.examples import Examples
from training.published.points import OpenPoints
from training.published.sets import Mixture

_BATCH, _JOINT_SET = 16, "smpl24"


@dataclass(frozen=True)
class MapsConfig:
    """Of what to make maps, and how."""

    folders: list[str] = option(["out/pictures"], "rendered people with pictures", "DIR")
    engine: str = option("auto", "that runs the network, see docs/engines.md")
    threads: int = option(2, "that read and crop pictures", "N", low=1)


def make_maps(config: MapsConfig) -> None:
    """Write the maps of all folders.

    Raises:
        MocapError: a folder has no people with pictures.
        engines.EngineError: the engine is not there.
    """
    spec = engines.EngineSpec({"image": engines.TensorSpec((LANDMARKER.size, LANDMARKER.size, 3))}, (MAP,), _BATCH)
    network = engines.of_module(build(LANDMARKER, (MAP,)), spec, "blazepose_map")
    engine = engines.compile(network, config.engine, "float32")
    for folder in map(Path, config.folders):
        _make(folder, config, engine)


def _make(folder: Path, config: MapsConfig, engine: engines.Engine) -> None:
    people = Rendered(folder, OpenPoints(_JOINT_SET))
    examples = Examples(Mixture([people]), _JOINT_SET, LANDMARKER.size, MAPS_MARGIN)
    part, size = folder / "maps.part", BlazePoseConfig()
    maps = np.lib.format.open_memmap(part, "w+", np.float16, (len(people), size.features, size.cells, size.cells))
    with ThreadPoolExecutor(config.threads) as pool:
        for first in tqdm(range(0, len(people), _BATCH), desc=str(folder), unit="batch"):
            rows = range(first, min(first + _BATCH, len(people)))
            crops = pool.map(lambda row: _picture(examples.plain(people[row])["image"]), rows)
            found = engine({"image": np.stack(list(crops))})[MAP]
            maps[first : rows.stop] = found.transpose(0, 3, 1, 2)
    maps.flush()
    del maps  # which Windows would not replace
    os.replace(part, folder / MAPS)


def _picture(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """A normalised crop (3, S, S) -> (S, S, 3) in [0, 1]."""
    return np.asarray((crop.transpose(1, 2, 0) * DEVIATION + MEAN) / 255, np.float32).clip(0, 1)


def main() -> int:
    """Command line."""
    return run(MapsConfig, __doc__ or "", make_maps)


if __name__ == "__main__":
    sys.exit(main())
