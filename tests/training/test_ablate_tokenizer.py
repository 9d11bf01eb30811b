from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from mocap.models.tokenizer import TokenizerConfig
from tests.training.small_corpus import write_small_corpus
from training import ablate_tokenizer
from training.ablate_tokenizer import Ablation, Variant, main, table, variants_of

CONFIG = """
vertices: 32
validation_poses: 20
measured_poses: 20
random_poses: 8
network: {tokens: 8, codes: 16, code_dim: 8, width: 12, depth: 1, upsamples: 1, decoder_stages: 1}
noise: {start: 0.05, replaced: 0.1}
train: {steps: 3, batch_size: 16, warmup_steps: 1, ema_decay: 0.5, accelerator: cpu, threads: 1, validate_every: 3}
variants: [codes=8, tokens=12, noise=off]
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_small_corpus(tmp_path / "corpus")
    with np.load(tmp_path / "corpus" / "clips.npz") as file:
        clips = dict(file)
    np.savez(tmp_path / "corpus" / "clips.npz", **{"train_rows": np.arange(200), **clips})
    (tmp_path / "config.yaml").write_text(CONFIG)
    given = {"config": "config.yaml", "corpus": "corpus", "train.out": "runs", "table": "table.md"}
    return [word for name, file in given.items() for word in (f"--{name}", str(tmp_path / file))]


def ablation(*variants: str) -> Ablation:
    return Ablation(variants=list(variants))


def test_trains_each_variant_once_and_writes_the_table(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    real = ablate_tokenizer.train
    monkeypatch.setattr(ablate_tokenizer, "train", lambda c, t: (trained.append(Path(c.out).name), real(c, t))[1])
    assert main([*arguments, "--variants", "codes=8"]) == 0
    assert trained == ["base", "codes-8"]
    assert main(arguments) == 0  # the variants of the configuration
    assert trained == ["base", "codes-8", "tokens-12", "noise-off"]

    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.split("|")[1:3] for line in lines[4:]] == [
        [" Codebook ", " 8 × 8 "], ["  ", " 16 × 8 "], [" Tokens ", " 8 "], ["  ", " 12 "],
        [" Noise ", " yes "], ["  ", " no "],
    ]  # fmt: skip
    figures = json.loads((tmp_path / "runs" / "tokens-12" / "figures.json").read_text())
    assert lines[7].split("|")[4].strip() == f"{figures['test']['mpjpe_mm']:.1f}"
    networks = {p.parent.name: json.loads(p.read_text())["network"] for p in tmp_path.glob("runs/*/run.json")}
    assert (networks["base"]["codes"], networks["codes-8"]["codes"], networks["tokens-12"]["tokens"]) == (16, 8, 12)


def test_a_stopped_ablation_goes_on(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--variants", "codes=8", "--train.stop-after-s", "0.000001"]) == 0
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "base" / "figures.json").exists()
    assert main([*arguments, "--variants", "codes=8"]) == 0
    steps = (json.loads(line) for line in (tmp_path / "runs" / "base" / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in steps if "val_mpjpe_mm" in row] == [3]  # one run, and not begun anew
    assert (tmp_path / "runs" / "codes-8" / "figures.json").exists()


def test_figures_of_another_configuration_are_not_taken(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--variants", "noise=off"]) == 0
    assert main([*arguments, "--variants", "noise=off", "--noise.joints", "0.9"]) == 1
    assert "expected a run of this configuration, found one with another noise" in capsys.readouterr().err


def test_what_a_variant_changes() -> None:
    base, small, quiet, joints = variants_of(ablation("tokens=40,width=64", "noise=off", "per_joint=on,tokens=168"))
    assert base.changes == ()
    assert (small.config.network.tokens, small.config.network.width) == (40, 64)
    assert small.config.network.codes == base.config.network.codes
    assert (quiet.config.noise.joints, quiet.config.noise.replaced) == (0, 0)
    assert len({v.config.train.out for v in (base, small, quiet, joints)}) == 4
    assert [v.part for v in (small, quiet, joints)] == ["Other", "Noise", "Other"]
    assert (joints.config.network.per_joint, joints.config.network.tokens) == (True, 168)


def test_a_layout_is_a_part_of_its_own() -> None:
    network = TokenizerConfig(tokens=84, per_joint=True)
    base, sequence = variants_of(replace(ablation("per_joint=off,upsamples=1"), network=network))
    assert sequence.part == "Layout"
    assert [row.label("Layout") for row in (base, sequence)] == ["per joint", "sequence"]


@pytest.mark.parametrize("wrong", ["tokenz=3", "tokens", "tokens=many", "noise=on", "", "decay=0.9", "per_joint=1"])
def test_variants_that_are_not_understood(wrong: str) -> None:
    with pytest.raises(
        MocapError, match=r"expected noise=off, per_joint=off, per_joint=on, or one of .*tokens.* = a whole number"
    ):
        variants_of(ablation(wrong))


def test_a_variant_that_changes_nothing() -> None:
    with pytest.raises(MocapError, match="expected one that is not there yet"):
        variants_of(ablation("tokens=160"))


def test_several_processes_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--train.devices", "2"]) == 1
    assert "expected --train.devices 1" in capsys.readouterr().err


def test_the_configuration_alone_is_a_row() -> None:
    figures = {split: {"mve_mm": 8.26, "mpjpe_mm": 2.24, "code_use": 0.995, "robustness": {"closer_by": 0.41}}
               for split in ("test", "ood")}  # fmt: skip
    base = Variant((), variants_of(ablation())[0].config)
    assert table([(base, figures)]).splitlines()[-1] == "| | as configured | 8.3 | 2.2 | 100% | 8.3 | 2.2 | 41% |"
