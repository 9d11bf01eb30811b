"""What tokens, codebook and noise are worth (TokenHMR's Tab. 3): trains each variant alike, measures, writes a table.

    python -m training.ablate_tokenizer --config configs/train_tokenizer_live.yaml --train.steps 4000 \
        --train.out out/ablation --variants tokens=42 tokens=126 codes=256 codes=512,code_dim=8 noise=off

A variant names what differs from the configuration: sizes of the network, ``per_joint=off`` (TokenHMR's sequence), and
``noise=off``. The configuration itself is the first row of each part. The same command goes on where it was stopped
and skips what is finished.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.tokenizer import TokenizerConfig
from training.evaluate_tokenizer import evaluate, load_run
from training.harness import train
from training.options import run
from training.train_tokenizer import TokenizerRun, TokenizerTask

HELD_OUT = ("test", "ood")  # subjects of the training sources; a source held out whole
_SIZES = {item.name for item in fields(TokenizerConfig) if item.type == "int"}
_PARTS = {
    "Codebook": {"codes", "code_dim"},
    "Tokens": {"tokens"},
    "Layout": {"per_joint", "upsamples", "downsamples", "decoder_stages"},
    "Noise": {"noise"},
}
_SWITCHES = {("noise", "off"), ("per_joint", "on"), ("per_joint", "off")}
# How the loop is run and what it prints does not change what is learned.
_NO_MATTER = ("out", "threads", "log_every", "validate_every", "checkpoint_every_s", "stop_after_s", "resume")


@dataclass(frozen=True)
class Ablation(TokenizerRun):
    """Variants of a training run; ``train.out`` is the folder of all of them."""

    variants: list[str] = option(
        ["codes=256", "code_dim=8", "tokens=168", "noise=off"], "what differs, e.g. tokens=168,width=64"
    )
    measured_poses: int = option(20_000, "poses of each held-out set that are measured", "N", low=1)
    table: str = option("", "Markdown file for the table; it is printed in any case", "FILE")


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    changes: tuple[tuple[str, str], ...]  # field and value, both as the user wrote them
    config: TokenizerRun

    @property
    def part(self) -> str:
        """The part of the table that it belongs to."""
        names = {name for name, _ in self.changes}
        for part, own in _PARTS.items():
            if names and names <= own:
                return part
        return "Other"

    def label(self, part: str) -> str:
        """What a row of that part of the table is called."""
        network = self.config.network
        if part == "Codebook":
            return f"{network.codes} × {network.code_dim}"
        if part == "Tokens":
            return str(network.tokens)
        if part == "Layout":
            return "per joint" if network.per_joint else "sequence"
        if part == "Noise":
            return "no" if ("noise", "off") in self.changes else "yes"
        return ", ".join(f"{name} {value}" for name, value in self.changes) or "as configured"


def variants_of(ablation: Ablation) -> list[Variant]:
    """The configuration itself and its variants, each with its own folder.

    Raises:
        MocapError: a variant is not understood, or changes nothing, or comes twice.
    """
    base = TokenizerRun(**{item.name: getattr(ablation, item.name) for item in fields(TokenizerRun)})
    folder = Path(base.train.out)
    found = [Variant((), _into(base, folder / "base"))]
    for text in ablation.variants:
        changes = _parse(text)
        config = _into(_changed(base, changes), folder / "_".join(f"{name}-{value}" for name, value in changes))
        if any(_essence(config) == _essence(other.config) for other in found):
            raise MocapError(f"variant '{text}': expected one that is not there yet, found another of the same sizes")
        found.append(Variant(changes, config))
    return found


def _parse(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.strip().partition("=") for part in text.split(",")]
    for name, _, value in pairs:
        if not (name in _SIZES and value.isdecimal()) and (name, value) not in _SWITCHES:
            switches, known = (", ".join(sorted(part)) for part in (map("=".join, _SWITCHES), _SIZES))
            raise MocapError(f"variant '{text}': expected {switches}, or one of {known} = a whole number")
    return tuple((name, value) for name, _, value in pairs)


def _changed(base: TokenizerRun, changes: Sequence[tuple[str, str]]) -> TokenizerRun:
    sizes: dict[str, Any] = {name: int(value) for name, value in changes if name in _SIZES}
    sizes |= {name: value == "on" for name, value in changes if name == "per_joint"}
    noise = replace(base.noise, joints=0.0, replaced=0.0) if ("noise", "off") in changes else base.noise
    return replace(base, network=replace(base.network, **sizes), noise=noise)


def _into(config: TokenizerRun, folder: Path) -> TokenizerRun:
    return replace(config, train=replace(config.train, out=str(folder)))


def _essence(config: TokenizerRun) -> dict[str, Any]:
    """What decides the outcome."""
    whole = asdict(config)
    whole["train"] = {name: value for name, value in whole["train"].items() if name not in _NO_MATTER}
    return whole


def measure(variant: Variant, poses: int) -> dict[str, Any] | None:
    """Train and evaluate a variant, or read what was measured before. None: the training was stopped on its way.

    Raises:
        MocapError: its folder holds a run of another configuration.
    """
    folder, essence = Path(variant.config.train.out), {**_essence(variant.config), "measured_poses": poses}
    asked, done = folder / "variant.json", folder / "figures.json"
    if asked.is_file() and variant.config.train.resume:
        before = json.loads(asked.read_text(encoding="utf-8"))
        if before != essence:
            differ = ", ".join(key for key in essence if before.get(key) != essence[key])
            raise MocapError(
                f"{folder}: expected a run of this configuration, found one with another {differ}; choose another "
                "--train.out, or --no-train.resume to overwrite it"
            )
        if done.is_file():
            figures: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
            return figures
    done.unlink(missing_ok=True)
    _write(asked, essence)
    task = TokenizerTask(variant.config)
    train(variant.config.train, task)
    if _steps_done(folder) < variant.config.train.steps:
        return None
    figures = evaluate(load_run(folder), task.corpus, list(HELD_OUT), poses)
    _write(done, figures)
    return figures


def _steps_done(folder: Path) -> int:
    return int(torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)["step"])


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[tuple[Variant, dict[str, Any]]]) -> str:
    """Markdown: parts as in the paper's Tab. 3, each with the configuration itself; errors in mm."""
    steps = rows[0][0].config.train.steps
    lines = [
        f"All rows: {steps:,} steps of {rows[0][0].config.train.batch_size} poses. Errors in mm.",
        "",
        "| | | held-out subjects MVE | MPJPE | codes used | held-out source MVE | MPJPE | noise taken out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in (*_PARTS, "Other"):
        own = [row for row in rows if row[0].part == part and row[0].changes]
        base = [row for row in rows if not row[0].changes]
        for index, (variant, figures) in enumerate(sorted([*base, *own], key=_order) if own else []):
            lines.append(f"| {part if index == 0 else ''} | {variant.label(part)} | {_cells(figures)} |")
    if len(lines) == 4:  # no variant yet
        lines.append(f"| | {rows[0][0].label('Other')} | {_cells(rows[0][1])} |")
    return "\n".join(lines) + "\n"


def _order(row: tuple[Variant, dict[str, Any]]) -> tuple[Any, ...]:
    network = row[0].config.network
    return network.codes, network.code_dim, network.tokens, len(row[0].changes)


def _cells(figures: dict[str, Any]) -> str:
    subjects, source = (figures[split] for split in HELD_OUT)
    return (
        f"{subjects['mve_mm']:.1f} | {subjects['mpjpe_mm']:.1f} | {subjects['code_use']:.0%} | "
        f"{source['mve_mm']:.1f} | {source['mpjpe_mm']:.1f} | {subjects['robustness']['closer_by']:.0%}"
    )


def ablate(ablation: Ablation) -> list[tuple[Variant, dict[str, Any]]]:
    """Train and measure all variants, one after the other; the table is written after each.

    Raises:
        MocapError: a variant is wrong, or the run wants several processes.
    """
    if ablation.train.devices * ablation.train.nodes > 1:
        raise MocapError("expected --train.devices 1: each process would start the list of variants again")
    rows = []
    for variant in variants_of(ablation):
        figures = measure(variant, ablation.measured_poses)
        if figures is None:
            print(f"stopped on the way through {variant.config.train.out}; the same command goes on", file=sys.stderr)
            break
        rows.append((variant, figures))
        if ablation.table:
            Path(ablation.table).write_text(table(rows), encoding="utf-8")
    if rows:
        print(table(rows))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run(Ablation, __doc__ or "", ablate, None if arguments is None else list(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
