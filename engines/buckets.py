"""Static shapes: a batch runs in the smallest of a few sizes that holds it, what is too much in turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from engines.engine import Run, Value, Values, join

SIZES = (1, 2, 4, 8)


def sizes(max_batch: int) -> tuple[int, ...]:
    """The sizes to get ready: all up to the first that holds ``max_batch``, or all."""
    enough = next((size for size in SIZES if size >= max_batch), SIZES[-1])
    return tuple(size for size in SIZES if size <= enough)


def run(by_size: Mapping[int, Run], inputs: Values) -> Values:
    """Outputs for a batch of any size, arrays or tensors.

    Rows that only fill a bucket repeat the last one and are cut off again. They are ordinary numbers, so they neither
    slow the network down nor make it fail, and no network lets rows see one another.
    """
    batch = len(next(iter(inputs.values())))
    parts = []
    for first, count, size in _turns(batch, sorted(by_size)):
        rows = np.minimum(np.arange(first, first + size), first + count - 1)
        given = inputs if size == batch else {name: value[rows] for name, value in inputs.items()}
        parts.append({name: value[:count] for name, value in by_size[size](given).items()})
        if count < batch:  # the next turn may overwrite it
            parts[-1] = {name: _copy(value) for name, value in parts[-1].items()}
    return {name: join([part[name] for part in parts]) for name in parts[0]}


def _copy(value: Value) -> Value:
    return value.copy() if isinstance(value, np.ndarray) else value.clone()


def _turns(batch: int, known: list[int]) -> Iterator[tuple[int, int, int]]:
    """First row, number of rows and size of the bucket of each turn."""
    first = 0
    while first < batch:
        count = min(batch - first, known[-1])
        yield first, count, next(size for size in known if size >= count)
        first += count
