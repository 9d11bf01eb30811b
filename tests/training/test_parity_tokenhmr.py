from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mocap.models.tokenhmr import HeadConfig
from mocap.models.tokenizer_checkpoint import tokenizer_keys
from tests.models.small_tokenhmr import DECODER, TOKENIZER, VIT, image, released_head, released_vit
from tests.models.test_vit import with_torchs_layers
from training import parity
from training.parity_vector import find_vectors

from .test_checkpoints import ARCH, released
from .test_parity import rows, write

MODULES = [
    "tokenhmr.vit",
    "tokenhmr.transformer_decoder",
    "tokenhmr.mixer",
    "tokenhmr.token_classifier",
    "tokenhmr.token_head",
    "tokenhmr.hmr2_head",
    "tokenhmr.losses",
    "tokenhmr.crop",
    "tokenhmr.metrics",
    "smpl.joints_tokenhmr",
]


@pytest.mark.shared
@pytest.mark.parametrize("module", MODULES)
def test_published_vectors_are_matched(module: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(shared / "parity"), "--only", module]) == 0, capsys.readouterr().out


@torch.no_grad()
def test_vit_vector_of_torchs_layers_passes_and_another_fails(tmp_path: Path) -> None:
    features = with_torchs_layers(VIT, released_vit(), image()).mT.unflatten(2, VIT.grid)
    sizes = {"img_size": [32, 24], "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "mlp_ratio": 2}
    folder = write(
        tmp_path / "vit", "tokenhmr.vit", {"img": image().numpy()}, {"feat": features.numpy()}, **sizes, qkv_bias=True
    )
    save_file(released_vit(), folder / "state_dict.safetensors")
    assert not rows(folder)[""].passed  # the released network cuts off 32 columns, this picture has fewer
    wide = torch.nn.functional.pad(image(), (28, 28))
    np.savez(folder / "inputs.npz", img=wide.numpy())
    assert rows(folder)["feat"].passed
    np.savez(folder / "inputs.npz", img=wide.flip(2).numpy())
    assert not rows(folder)["feat"].passed


@pytest.mark.parametrize("tokens", [True, False])
def test_head_takes_its_sizes_from_the_vector(tokens: bool, tmp_path: Path) -> None:

    decoder = {"dim": 12, "depth": 2, "heads": 3, "mlp_dim": 10, "dim_head": 5, "context_dim": 16}
    config = HeadConfig(DECODER, TOKENIZER if tokens else None)
    weights = released_head(config)
    if tokens:
        half = {key: value for key, value in released().items() if not key.startswith("encoder.")}
        assert half.keys() < tokenizer_keys(TOKENIZER).keys()
        weights |= {f"TOKENIZER.{key}": value.contiguous() for key, value in half.items()}
    outputs = {name: np.zeros(shape) for name, shape in (("body_pose", (2, 23, 3, 3)), ("cam", (2, 3)))}
    outputs |= {"probs": np.zeros((2, 40, 32))} if tokens else {}
    module = "tokenhmr.token_head" if tokens else "tokenhmr.hmr2_head"
    inputs = {"fmap": np.ones((2, 16, 4, 3), np.float32)}
    more = {"arch": ARCH} if tokens else {}
    folder = write(tmp_path / "head", module, inputs, outputs, decoder=decoder, **more)
    save_file(weights, folder / "state_dict.safetensors")
    (vector,) = find_vectors(folder)
    found = parity.run(vector)
    assert {row.output for row in found} == outputs.keys()
    assert all(row.absolute is not None for row in found), found  # computed, of the right shape
