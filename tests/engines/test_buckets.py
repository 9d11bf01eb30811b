"""Batches in a few static sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import buckets
from engines.engine import Arrays


@pytest.mark.parametrize(
    ("most", "expected"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 4)), (8, (1, 2, 4, 8)), (9, (1, 2, 4, 8))]
)
def test_sizes(most: int, expected: tuple[int, ...]) -> None:
    assert buckets.sizes(most) == expected


@given(batch=st.integers(1, 20), most=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_row_is_its_own_and_every_bucket_is_full(batch: int, most: int, seed: int) -> None:
    asked = []

    def network(size: int, inputs: Arrays) -> Arrays:
        assert {len(array) for array in inputs.values()} == {size}
        assert np.isfinite(inputs["x"]).all()
        asked.append(size)
        return {"y": 2 * inputs["x"] + inputs["z"][:, None]}

    by_size = {size: lambda inputs, size=size: network(size, inputs) for size in buckets.sizes(most)}
    rng = np.random.default_rng(seed)
    inputs = {"x": rng.random((batch, 3)), "z": rng.random(batch)}
    found = buckets.run(by_size, inputs)
    np.testing.assert_array_equal(found["y"], 2 * inputs["x"] + inputs["z"][:, None])
    largest = max(by_size)
    assert len(asked) == -(-batch // largest)
    assert sum(asked) - batch < largest
