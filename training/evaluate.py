"""How right every system is, side by side on the same frames: MediaPipe, kinematic, and a trained network.

    python -m training.evaluate                                            (the shipped demo clip)
    python -m training.evaluate --shared ../shared --output docs/evaluation.md
    python -m training.evaluate --shared ../shared --pairs out/pairs_test --clips out/pairs_test_clips \\
        --checkpoint out/capture/best.ckpt --output docs/evaluation.md --ladder 20 --crops 200
    python -m training.evaluate --occlusion-map out/occlusion.png --checkpoint out/capture/best.ckpt

The columns are MediaPipe raw and smoothed, the kinematic regressor, and with --checkpoint the network frame by frame,
causal, four frames ahead and over the whole clip (--mode). The sets are the demo clips (--demo), synthetic frames and
clips of a held-out split (--pairs, --clips: python -m training.synthesize --split test), and real recordings with a
multi-view reference (--shared: every folder with reference.npz and camera_array.toml). What MediaPipe and our tracker
see of a video is kept in out/evaluation, so a second run is quick.

--output writes the page, .json beside it, and pictures; without it the tables go to the terminal. --ladder, --crops and
--noise ask where the error comes from, and what happens when less is seen; --crops and --occlusion-map render people.

Published systems on published data, by their papers' protocols and beside the papers' figures, have their own options:

    python -m training.evaluate --system tokenhmr --data 3dpw=DIR emdb=DIR --smpl SMPL_DIR --extra-regressor FILE
    python -m training.evaluate --system tokenhmr --help                   (hmr2, int, vqhps, postometro alike)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from threadpoolctl import threadpool_limits

import mocap
from mocap.config import option
from mocap.errors import MocapError
from training.datasets.corpus import Corpus
from training.evaluation.recordings import find_recordings, recorded_clips
from training.evaluation.report import Report, markdown, write
from training.evaluation.runs import SetResult, noise_ladder, oracle_ladder, run_set
from training.evaluation.shards import demo_clip, shard_clips, shard_files
from training.evaluation.systems import MODES, network_systems, systems
from training.evaluation.targets import CLIPS, FRAMES, REAL
from training.evaluation.track import System
from training.evaluation.truth import Clip
from training.evaluation.watching import CACHE
from training.options import run

log = logging.getLogger(__name__)
ASSETS = Path(mocap.__file__).parent / "assets"
Mode = Literal["frame", "causal", "lookahead", "full"]


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate, and on what."""

    checkpoint: str = option("", "trained network: its columns are added", "FILE")
    mode: list[Mode] = option(list(MODES), "how the network sees time: frame, causal, lookahead, full", "MODE")
    demo: list[str] = option(["demo"], "clips with exact truth: names in mocap/assets, or videos", "CLIP")
    pairs: str = option("", "folder with shards of synthetic frames", "DIR")
    clips: str = option("", "folder with shards of synthetic clips", "DIR")
    shared: str = option("", "folder with real recordings, at any depth", "DIR")
    output: str = option("", "Markdown page to write; .json and pictures beside it", "FILE.md")
    limit: int = option(0, "at most so many synthetic frames, and so many clips; 0: all", "N", low=0)
    pitch: bool = option(True, "networks know the camera's pitch on synthetic clips, as after calibration")
    ladder: int = option(0, "oracle ladder on so many synthetic clips (or frames, without --clips)", "N", low=0)
    crops: int = option(0, "render so many frames and crop them as TokenHMR does", "N", low=0)
    noise: list[float] = option([], "deviations of noise on the pose tokens' logits to try, e.g. 0 1 2 4", "SD")
    occlusion_map: str = option("", "picture of the error while a grey square slides over a rendered person", "FILE")
    corpus: str = option("out/corpus", "motion of the people that are rendered", "DIR")
    split: str = option("test", "of that corpus", "SPLIT")
    seed: int = option(0, "of what is rendered", "N", low=0)


def evaluate(config: EvaluationConfig) -> Report:
    """Measure everything that is asked for, and write or print it.

    Raises:
        MocapError: something that is asked for is not there.
    """
    _check(config)
    threadpool_limits(limits=1, user_api="blas")  # small matrices: threads only wait for each other
    checkpoint = Path(config.checkpoint) if config.checkpoint else None
    some = systems(checkpoint, config.mode)
    report = Report({"command": _command(), **asdict(config)})
    for name in config.demo:
        clip = demo_clip(ASSETS / f"{name}.mp4" if Path(name).suffix == "" else Path(name), CACHE)
        note = "A rendered clip with exact truth; the kinematic regressor's priors were tuned on `demo`."
        report.sets.append(run_set(f"Rendered clip {clip.name}", note, [clip], some, 1))
    if config.shared:
        report.sets.append(_real(config, some))
    single = systems(checkpoint, ["causal"])  # as the product sees a first frame
    for folder, title, these in ((config.pairs, FRAMES, single), (config.clips, CLIPS, some)):
        if folder:
            note = f"Held-out people and bodies (`{folder}`), without frames in which our network looks at others."
            clips = shard_clips(Path(folder), config.limit, config.pitch)
            report.sets.append(run_set(title, note, clips, these))
    if config.ladder:
        report.ladder = oracle_ladder(_synthetic(config, config.ladder), some)
    if config.noise and checkpoint is not None:
        noisy = {deviation: network_systems(checkpoint, config.mode, deviation) for deviation in config.noise}
        report.noise = noise_ladder(list(_synthetic(config, config.limit or 100)), noisy)
    if config.crops or config.occlusion_map:
        _rendered(config, single, report)
    _publish(config, report)
    return report


def _real(config: EvaluationConfig, some: dict[str, System]) -> SetResult:
    note = (
        "Every view of the recordings with a reference, which is a markerless triangulation (1–3 cm off itself). "
        "Views of cameras on their side are turned upright for all columns. Where the reference lacks the hips in "
        "most frames (people at desks) the root of MPJPE and of everything over time is the middle between the "
        "shoulders."
    )
    return run_set(REAL, note, recorded_clips(Path(config.shared), CACHE), some)


def _synthetic(config: EvaluationConfig, count: int) -> Iterator[Clip]:
    folder = config.clips or config.pairs
    return islice(shard_clips(Path(folder), count, config.pitch), count)


def _rendered(config: EvaluationConfig, single: dict[str, System], report: Report) -> None:
    from mocap.models.blazepose import load_landmarker
    from training.evaluation.occlusion import crop_growth, occlusion_map, shots
    from training.evaluation.plots import occlusion_figure
    from training.synthesis.pairs import PairConfig, PairMaker

    landmarker = load_landmarker(features=True)
    maker = PairMaker(Corpus.open(Path(config.corpus)), config.split, landmarker, PairConfig(company=0.0))
    found = list(shots(maker, max(config.crops, 12), config.seed))
    if not found:
        raise MocapError(f"{config.corpus}: expected people whom the network finds, found none; try another --seed")
    if config.crops:
        report.crops = crop_growth(found[: config.crops], maker.landmarker, single)
    if config.occlusion_map:
        path = Path(config.occlusion_map)
        whole = max(found, key=lambda shot: (shot.whole.truth.hidden[0] < 0.1, shot.roi.size_px))
        centers, maps = occlusion_map(whole, maker.landmarker, single)
        path.parent.mkdir(parents=True, exist_ok=True)
        occlusion_figure(whole, centers, maps).savefig(path, dpi=100)
        log.info("%s: the error while a grey square slides over the picture", path)


def _publish(config: EvaluationConfig, report: Report) -> None:
    if not config.output:
        print(markdown(report, Path()))
        return
    from training.evaluation.plots import save_all

    output = Path(config.output)
    if report.sets:
        report.pictures = save_all(report.sets, output)
    write(report, output)
    print(f"{output}: {len(report.sets)} sets; {output.with_suffix('.json').name} and pictures beside it")


def _check(config: EvaluationConfig) -> None:
    """Before anything takes long: what is asked for makes sense and is there."""
    asked = (config.demo, config.shared, config.pairs, config.clips, config.crops, config.occlusion_map)
    if not any(asked):
        raise MocapError("expected something to evaluate on, found nothing; name --demo, --shared, --pairs or --clips")
    if config.ladder and not (config.clips or config.pairs):
        raise MocapError("--ladder: expected clips whose pose is known, found none; name --clips or --pairs")
    if config.noise and not (config.checkpoint and (config.clips or config.pairs)):
        raise MocapError("--noise: expected a network and synthetic clips, found none; name --checkpoint and --clips")
    if config.output and Path(config.output).suffix != ".md":
        raise MocapError(f"--output: expected a Markdown page (.md), found {config.output}")
    for folder in filter(None, (config.pairs, config.clips)):
        shard_files(Path(folder))
    if config.shared:
        find_recordings(Path(config.shared))
    if config.crops or config.occlusion_map:
        Corpus.open(Path(config.corpus))


def _command() -> str:
    return "python -m training.evaluate " + " ".join(sys.argv[1:])


def main() -> int:
    """Command line; ``--system`` is a published one."""
    if any(word.partition("=")[0] == "--system" for word in sys.argv[1:]):
        from training.published.evaluate import main as evaluate_published

        return evaluate_published()
    return run(EvaluationConfig, __doc__ or "", evaluate)


if __name__ == "__main__":
    sys.exit(main())
