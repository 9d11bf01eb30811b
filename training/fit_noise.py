"""Fit BlazePose's errors to rendered people, for landmarks without pictures (see ``training.capture.landmark_noise``).

python -m training.fit_noise --pairs out/pairs --clips out/pairs_clips --output out/noise.pt
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mocap.body.torch_figure import Figure
from mocap.config import option
from training.capture.landmark_noise import fit, save
from training.capture.shards import load_shards
from training.options import run


@dataclass(frozen=True)
class NoiseConfig:
    """What to fit to."""

    pairs: str = option("out/pairs", "single frames that training.synthesize wrote", "DIR")
    clips: str = option("out/pairs_clips", "clips that training.synthesize wrote", "DIR")
    output: str = option("out/noise.pt", "what to write", "FILE")
    most: int = option(40_000, "frames of each at most; 0: all", "N", low=0)
    steps: int = option(4_000, "of the fit", "N", low=1)
    seed: int = option(0, "of the fit", "N", low=0)


def fit_noise(config: NoiseConfig) -> None:
    """Load, fit, save.

    Raises:
        MocapError: there are no shards.
    """
    figure = Figure()
    singles, clips = (
        load_shards(Path(folder), figure, config.most, cut=False) for folder in (config.pairs, config.clips)
    )
    save(fit(singles, clips, config.steps, config.seed), Path(config.output))
    print(f"{config.output}: fitted to {len(singles):,} frames and {len(clips):,} of clips")


def main() -> int:
    """Command line."""
    return run(NoiseConfig, __doc__ or "", fit_noise)


if __name__ == "__main__":
    sys.exit(main())
