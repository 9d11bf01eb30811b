"""Weights to start from: released, imported, of a run; what fits, what does not, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mocap.errors import MocapError
from mocap.models.tokenhmr import RULES, TokenHmr
from mocap.models.tokenhmr_checkpoint import import_network
from mocap.models.vit import VisionTransformer
from tests.models.small_tokenhmr import SMALL, released_vit
from tests.models.test_tokenhmr_checkpoint import HMR2, model
from training.published.start import read_start, take_over

VIT = "vit."


def network() -> TokenHmr:
    torch.manual_seed(3)
    return TokenHmr(SMALL)


def saved(path: Path, found: Any) -> Path:
    torch.save(found, path)
    return path


def own(module: nn.Module, average: bool) -> dict[str, Any]:
    """A run's checkpoint, whose averaged weights are the last ones plus 1."""
    ema = AveragedModel(module)
    with torch.no_grad():
        for weight in ema.module.parameters():
            weight += 1
    return {"network": {}, "model": module.state_dict(), "ema": ema.state_dict() if average else None, "step": 3}


def test_released_weights_come_under_our_names(tmp_path: Path) -> None:
    expected = import_network(model(HMR2), None, HMR2, "x").state_dict()
    found = read_start(saved(tmp_path / "a.ckpt", {"state_dict": model(HMR2), "epoch": 3}), RULES)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    vit = VisionTransformer(SMALL.vit)
    bare = read_start(saved(tmp_path / "vitpose.pth", {"state_dict": released_vit()}), RULES)
    assert bare.keys() == vit.state_dict().keys()


@pytest.mark.parametrize("average", [True, False])
def test_a_run_gives_its_average_where_it_kept_one(tmp_path: Path, average: bool) -> None:
    module = network()
    found = read_start(saved(tmp_path / "best.ckpt", own(module, average)), RULES)
    assert found.keys() == module.state_dict().keys()
    name = "vit.blocks.0.feed.wide.weight"
    torch.testing.assert_close(found[name], module.state_dict()[name] + (1 if average else 0))


def test_an_imported_file_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    module = network()
    weights = {name: value.contiguous().clone() for name, value in module.state_dict().items()}
    save_file({**weights, "smpl.v_template": torch.zeros(3, 3)}, tmp_path / "a.safetensors")
    assert read_start(tmp_path / "a.safetensors", RULES).keys() == module.state_dict().keys()


def test_everything_that_fits_or_the_backbone_alone() -> None:
    given = import_network(model(HMR2), None, HMR2, "x").state_dict()
    for all_ in (True, False):
        target = network()
        before = {name: value.clone() for name, value in target.state_dict().items()}
        report = take_over(target, given, "hmr2.ckpt", VIT, all_)
        after = target.state_dict()
        for name, value in after.items():
            taken = name in given and (name.startswith(VIT) or all_)
            assert torch.equal(value, given[name] if taken else before[name]), name
        assert report.startswith("hmr2.ckpt: taken over: vit.place (1), vit.patch (2)")
        assert ("left out: head." in report) == (not all_)
        assert "in the file only: head.pose (2)" in report
        assert "start afresh: head." in report


Change = Callable[[dict[str, Tensor]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("vit.norm.bias"), r"expected 'vit\.norm\.bias' of size \(16,\), found none, but vit\.place"),
        (
            lambda w: w.update({"vit.norm.bias": torch.zeros(5)}),
            r"expected 'vit\.norm\.bias' of size \(16,\), found \(5,\)",
        ),
        (lambda w: w.clear(), r"expected 'vit\.place' of size"),
    ],
)
def test_half_a_backbone_is_an_error(change: Change, message: str) -> None:
    weights = dict(network().state_dict())
    change(weights)
    with pytest.raises(MocapError, match=f"x.pth: {message}"):
        take_over(network(), weights, "x.pth", VIT)


def test_nothing_that_fits_is_an_error() -> None:
    with pytest.raises(MocapError, match=r"x: expected weights of vit\.place.*found conv\.weight \(1\)"):
        take_over(network(), {"conv.weight": torch.zeros(3)}, "x")


@pytest.mark.parametrize("found", [{"epoch": 3}, {}])
def test_files_without_weights(tmp_path: Path, found: dict[str, Any]) -> None:
    with pytest.raises(MocapError, match=r"a\.ckpt: expected weights, found"):
        read_start(saved(tmp_path / "a.ckpt", found), RULES)
    with pytest.raises(MocapError, match="found no file"):
        read_start(tmp_path / "none.ckpt", RULES)
