"""Every network of the product: as a graph, on every backend that is here, and in a chain."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

import engines
from engines import backends
from engines.backends import BACKENDS
from engines.export import examples, export
from mocap.assets import asset_path
from mocap.models import networks, parity, token_capture
from mocap.models.capture import load_capture
from mocap.models.parity import chain_error_mm, error
from mocap.models.temporal import TemporalStep
from mocap.models.tokenizer import load_tokenizer

HERE = [name for name in BACKENDS if name != "eager" and backends.refusal(name) is None]
PEOPLE = 2
_READS = (torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default)  # of a value, in the midst of a run


class TokenDecoder(nn.Module):
    """The pose tokenizer's decoder by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer(asset_path("tokenizer_live.npz"))

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        return {"R": self.tokenizer.decode_logits(logits)}


@functools.cache
def all_networks() -> dict[str, engines.Network]:
    """What captures run, and the learned capture's parts that they run as one."""
    found = {network.name: network for network in networks.product(PEOPLE)}
    decoder = TokenDecoder().eval()
    sizes = decoder.tokenizer.config
    logits = np.random.default_rng(0).standard_normal((PEOPLE, sizes.tokens, sizes.codes)).astype(np.float32)
    spec = engines.EngineSpec({"logits": engines.TensorSpec(logits.shape[1:])}, ("R",), PEOPLE)
    parts = [engines.of_module(decoder, spec, "decoder", engines.Trial({"logits": logits}))]
    step = found["capturestep"].spec.inputs
    state = {name: step[name] for name in ("keys", "values", "age", "known")}
    temporal = TemporalStep(load_capture(asset_path(token_capture.WEIGHTS)).temporal)
    tokens = engines.TensorSpec((token_capture.TOKENS, temporal.temporal.config.width))
    spec = engines.EngineSpec({"tokens": tokens, **state}, ("tokens", "key", "value"), PEOPLE)
    shapes = {name: tensor.shape for name, tensor in spec.inputs.items()}
    parts.append(engines.of_module(temporal.eval(), spec, "temporal", engines.Trial(token_capture.sample(shapes))))
    return found | {part.name: part for part in parts}


NAMES = [
    "blazepose_detector", "blazepose_landmarker", "capturestep", "capturetokens", "capturewindow", "decoder", "temporal"
]  # fmt: skip


def test_nothing_is_left_out() -> None:
    assert list(all_networks()) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, PEOPLE])
def test_its_graph_is_whole_and_static(name: str, batch: int) -> None:
    """What TensorRT takes: the whole forward pass in one graph, no shape that depends on data."""
    network = all_networks()[name]
    program = export(network.build().eval(), network.spec, batch, strict=True)
    assert not program.range_constraints
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            assert all(isinstance(size, int) for size in value.shape), node
            assert not free_unbacked_symbols(value), node
        assert node.target not in _READS, node


@pytest.mark.parametrize("name", NAMES)
def test_no_tensor_is_made_beside_its_device(name: str) -> None:
    """On a device that holds no numbers: a tensor that the forward pass makes on the CPU would not go with the rest."""
    network = all_networks()[name]
    module = copy.deepcopy(network.build()).eval().to("meta")
    outputs = module(**dict(zip(network.spec.inputs, examples(network.spec, 2, "meta"), strict=True)))
    assert all(outputs[output].is_meta for output in network.spec.outputs)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", HERE)
def test_it_runs_on_every_backend(name: str, backend: str, cache: Path) -> None:
    network = all_networks()[name]
    engine = engines.compile(network, backend, "float32", cache)
    assert network.trial is not None
    inputs = network.spec.check(network.trial().inputs)
    expected, found = engines.reference(network.build().eval(), network.spec, inputs), engine(inputs)
    for output, value in expected.items():
        assert found[output].shape == value.shape
        assert np.abs(found[output] - value).max() <= 1e-3 * np.abs(value).max(), output


@pytest.mark.parametrize("backend", HERE)
def test_the_chain_gives_the_same_joints(backend: str, cache: Path) -> None:
    made = {network.name: engines.compile(network, backend, "float32", cache) for network in networks.live(PEOPLE)}
    assert chain_error_mm(made) < 0.1
    for network in networks.live(PEOPLE):
        what, off, limit = error(network, made[network.name])
        assert off <= limit, what


def test_the_views_are_real_people() -> None:
    """What engines are compared on: the landmark network finds the person in each crop, where the truth has him."""
    with np.load(asset_path("demo.npz")) as truth:
        landmarks_px = truth["landmarks_px"][0]
    for person, view in zip(parity._persons(parity._landmarks()), parity.views(), strict=True):
        off = np.linalg.norm(person.landmarks_px[:, :2] - landmarks_px[view.frame.index], axis=1)
        assert person.score > 0.9
        assert np.median(off) < 0.03 * view.roi.size_px


def test_errors_are_millimetres() -> None:
    R = np.tile(np.eye(3, dtype=np.float32), (2, 22, 1, 1))
    betas = np.zeros((2, 10), np.float32)
    turned = R.copy()
    turned[1, 0] = np.diag([-1, 1, -1])  # about the vertical axis: each joint moves twice its distance from it
    (found,) = parity.joint_errors({"R": R, "betas": betas}, {"R": turned, "betas": betas}).values()
    joints = parity.joints_m(R, betas)[0]
    expected = 2e3 * np.linalg.norm(joints[:, [0, 2]] - joints[0, [0, 2]], axis=1).mean()
    assert found == pytest.approx(expected, rel=1e-4)
