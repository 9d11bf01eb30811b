"""How right a published system is, by its paper's own protocol, beside the figures of the paper.

    python -m training.evaluate --system tokenhmr --data 3dpw=DIR emdb=DIR --smpl SMPL_DIR --extra-regressor FILE
    python -m training.evaluate --system int --data 3dpw=FILE h36m=FILE --smpl SMPL_DIR --h36m-regressor FILE
    python -m training.evaluate --system vqhps --data 3dpw=DIR --smpl SMPL_DIR
    python -m training.evaluate --system postometro --data 3dpw=test.yaml --smpl SMPL_DIR --h36m-regressor FILE

The network is what mocap import-checkpoint wrote, or --checkpoint. --system hmr2 is measured like tokenhmr. Data sets,
regressors and SMPL are files that you bring; what each protocol needs, and where from: docs/published_evaluation.md.
Without --system the program compares our own systems: python -m training.evaluate --help.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models import published
from mocap.models.systems import known_system
from training.datasets.images.find import data_set
from training.options import run
from training.published.evaluate_bodies import Bodies
from training.published.evaluate_data import FORMATS, People, load_people
from training.published.evaluate_figures import METRICS, Figure, figures
from training.published.evaluate_measure import measure
from training.published.evaluate_protocol import Options, Protocol
from training.published.evaluate_protocols import PROTOCOLS
from training.published.points import REGRESSORS

SystemName = Literal["tokenhmr", "hmr2", "int", "vqhps", "postometro"]


@dataclass(frozen=True)
class PublishedEvaluationConfig:
    """Which system to evaluate, on what."""

    system: SystemName = option("tokenhmr", "published system")
    data: list[str] = option(
        [], "data sets, each as NAME=DIR or NAME=FILE, or NAME alone for a folder of that name in --folder", "NAME"
    )
    folder: str = option("data", "folder of the data sets that are named alone", "DIR")
    split: str = option("test", "part of the data set, as files and folders name it", "NAME")
    pictures: str = option("", "folder that picture names are relative to (default: that of the labels)", "DIR")
    margin: float = option(1.2, "by which tight boxes of 3DPW's and EMDB's own pickles are enlarged", "FACTOR", low=1)
    smpl: str = option("", "folder with SMPL's neutral, male and female files", "DIR")
    smplh: str = option("", "VQ-HPS: folder of SMPL-H, for true meshes as in the released code", "DIR")
    h36m_regressor: str = option("", f"{REGRESSORS['h36m'][1]}; all but TokenHMR and HMR2.0", "FILE")
    extra_regressor: str = option("", f"{REGRESSORS['44'][1]}; TokenHMR and HMR2.0 on 3DPW", "FILE")
    spin_regressor: str = option("", f"{REGRESSORS['spin49'][1]}; INT on MPI-INF-3DHP", "FILE")
    checkpoint: str = option("", "network (default: what mocap import-checkpoint wrote)", "FILE")
    bodies: Literal["protocol", "gendered", "neutral"] = option("protocol", "SMPL of the true meshes")
    every_frame: bool = option(False, "count frames too that the data set says not to count")
    hips: bool = option(True, "PostoMETRO: compare joints from the middle of the hips; off: from Human3.6M's pelvis")
    frames: int = option(0, "INT: frames of a clip; 0: as many as the network has places in time", "N", low=0)
    pool: int = option(128, "INT: frames that clips are taken from by turns", "N", low=1)
    across_videos: bool = option(False, "INT: accelerations across the ends of videos, as in the released code")
    over_batch: bool = option(False, "VQ-HPS: the head attends over the batch (--batch), as released")
    batch: int = option(16, "people that go through the network together", "N", low=1)
    device: str = option("auto", "auto, cpu, cuda or another of PyTorch's", "DEVICE")
    workers: int = option(4, "threads that read pictures", "N", low=1)
    limit: int = option(0, "only so many people of each data set, the first; 0: all", "N", low=0)
    output: str = option("", "Markdown page to write, .json beside it (default: to the terminal)", "FILE.md")


@dataclass(frozen=True)
class Result:
    """Of one data set."""

    data: str
    people: int  # counted, those with a failed network among them
    failed: int  # of whom the network gave numbers that are not finite: not in the means
    mm: dict[str, float]  # by a name of METRICS; NaN: the data have no truth of this
    paper: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def evaluate(
    config: PublishedEvaluationConfig, network: nn.Module | None = None, side: int | None = None
) -> list[Result]:
    """Measure, and write or print the page.

    Args:
        network: In place of the imported one, and ``side`` px of its pictures.

    Raises:
        MocapError: something that is asked for is not there, or is not what the protocol needs.
    """
    _check(config)
    device = _device(config.device)
    # Labels first: a missing file should not wait for the network.
    people = {name: _people(config, name, path) for name, path in _targets(config).items()}
    path = Path(config.checkpoint) if config.checkpoint else published.path_of(config.system)
    if network is None:
        network = published.load_network(config.system, path)
        side = known_system(config.system).side(network.config)
    imported = published.load_body(path) if path.is_file() else None
    smpl, smplh = (Path(name) if name else None for name in (config.smpl, config.smplh))
    bodies = Bodies(smpl, imported, device, smplh)
    network = network.eval().to(device)
    options = Options(**{item.name: getattr(config, item.name) for item in fields(Options)})
    protocols = [PROTOCOLS[config.system](name, network, side or 224, bodies, options) for name in people]
    results = [_result(config, protocol, people[protocol.data], device) for protocol in protocols]
    _publish(config, results)
    return results


def _check(config: PublishedEvaluationConfig) -> None:
    """Before anything takes long."""
    if config.output and Path(config.output).suffix != ".md":
        raise MocapError(f"--output: expected a Markdown page (.md), found {config.output}")
    if config.smplh and config.system != "vqhps":
        raise MocapError(f"--smplh: expected --system vqhps, found {config.system}, whose truth is SMPL")


def _result(config: PublishedEvaluationConfig, protocol: Protocol, people: People, device: torch.device) -> Result:
    found = measure(protocol, people, device, config.limit, config.workers)
    paper, notes = figures(config.system, protocol.data), tuple(_notes(config, people))
    return Result(protocol.data, found.people, found.failed, found.means(config.across_videos), paper, notes)


def _targets(config: PublishedEvaluationConfig) -> dict[str, Path]:
    """Where each data set is."""
    if not config.data:
        names = ", ".join(FORMATS[config.system])
        raise MocapError(f"--data: expected data sets of {config.system}'s protocol, {names}; found none")
    parts = [text.partition("=") for text in config.data]
    if len({name for name, *_ in parts}) < len(parts):
        raise MocapError(f"--data: expected each data set once, found {' '.join(config.data)}")
    return {name: Path(place) if place else Path(config.folder) / name for name, _, place in parts}


def _people(config: PublishedEvaluationConfig, name: str, path: Path) -> People:
    return load_people(config.system, name, path, config.split, config.pictures, config.margin)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MocapError(f"--device: expected a device of PyTorch's that is there, found {name}: {error}") from error
    return device


def _notes(config: PublishedEvaluationConfig, people: People) -> Iterator[str]:
    """What makes the figures others than the paper's."""
    if config.limit:
        yield f"only the first {config.limit}"
    if people.own_boxes:
        yield f"boxes are those of the authors' files, {config.margin:g} times as large, not the paper's"
    if config.split != "test":
        yield f"split {config.split}"
    if config.bodies != "protocol":
        yield f"true meshes are of {config.bodies} bodies"
    if config.every_frame:
        yield "those too that the data set says not to count"
    if config.frames:
        yield f"clips of {config.frames} frames"


def page(system: str, results: Sequence[Result]) -> str:
    """The results as Markdown, a table a data set, the paper's figures beside ours."""
    lines = [f"# {system}, by its paper's protocol", "", "All in mm; Accel in mm per frame²."]
    for result in results:
        titles = [f"{figure.title}, {figure.table}" for figure in result.paper]
        lines += ["", f"## {data_set(result.data).title}", ""]
        lines += [f"{result.people} people" + "".join(f"; {note}" for note in result.notes) + ".", ""]
        if result.failed:
            lines += [f"**The network failed for {result.failed} of them; they are not in the means.**", ""]
        lines += ["| | measured | " + " | ".join(titles or ["paper"]) + " |", "|---" * (2 + len(titles or [""])) + "|"]
        for name in METRICS:
            paper = [_reported(figure.mm.get(name)) for figure in result.paper] or ["–"]
            if name in result.mm:
                measured = f"{result.mm[name]:.1f}" if np.isfinite(result.mm[name]) else "–"
                lines.append(f"| {name} | {measured} | " + " | ".join(paper) + " |")
    return "\n".join(lines) + "\n"


def _reported(mm: float | None) -> str:
    """With the paper's decimals, one or two."""
    return "–" if mm is None else f"{mm:.1f}" if mm == round(mm, 1) else f"{mm:.2f}"


def _plain(result: Result) -> dict[str, Any]:
    """For JSON, which has no NaN."""
    mm = {name: value if np.isfinite(value) else None for name, value in result.mm.items()}
    return {**asdict(result), "mm": mm}


def _publish(config: PublishedEvaluationConfig, results: Sequence[Result]) -> None:
    text = page(config.system, results)
    if not config.output:
        print(text)
        return
    output = Path(config.output)
    found = {"config": asdict(config), "results": [_plain(result) for result in results]}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise MocapError(f"--output: expected a file that can be written, found {output}: {error}") from error
    print(f"{output}: {len(results)} data sets; {output.with_suffix('.json').name} beside it")


def main() -> int:
    """Command line."""
    return run(PublishedEvaluationConfig, __doc__ or "", evaluate)


if __name__ == "__main__":
    sys.exit(main())
