"""Graphs that compilers take: of one static shape, with the casts that a precision needs."""

from __future__ import annotations

import pytest
import torch

from engines.export import Positional, examples, export
from tests.engines.toy import SPEC, Toy


@pytest.mark.parametrize("strict", [False, True])
def test_the_graph_computes_the_same(strict: bool) -> None:
    module = Toy().eval()
    program = export(module, SPEC, 2, strict=strict)
    inputs = tuple(torch.rand_like(x) for x in examples(SPEC, 2))
    expected = module(*inputs)
    for name, found in zip(SPEC.outputs, program.module()(*inputs), strict=True):
        torch.testing.assert_close(found, expected[name])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_products_are_in_the_precision_and_outputs_in_float32(precision: str) -> None:
    program = export(Toy().eval(), SPEC, 1, precision)
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    dtypes = {node.target: node.meta["val"].dtype for node in calls}  # nodes without a value check something
    names = {str(target).split(".")[1]: dtype for target, dtype in dtypes.items()}
    assert names["convolution"] is getattr(torch, precision)
    assert names.get("addmm", names.get("linear")) is getattr(torch, precision)
    assert not any("autocast" in str(node.target) for node in program.graph.nodes)
    outputs = Positional(Toy().eval(), SPEC, precision)(*examples(SPEC, 1))
    assert {x.dtype for x in outputs} == {torch.float32}
