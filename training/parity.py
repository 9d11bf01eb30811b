"""Compares our networks with the published ones: ``python -m training.parity DIR [--only PATTERN]``.

DIR is a tree of vectors as in ``../shared/parity``, or one vector's folder. Prints one row per output and exits with 1
if any is off or has no builder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from mocap.errors import MocapError
from training import parity_int, parity_pct, parity_postometro, parity_tokenhmr, parity_vqhps
from training.parity_vector import TOLERANCE, Builder, Row, Vector, compare, find_vectors

# Module of a vector's config -> what runs our own.
BUILDERS: dict[str, Builder] = {
    **parity_tokenhmr.BUILDERS,
    **parity_int.BUILDERS,
    **parity_vqhps.BUILDERS,
    **parity_pct.BUILDERS,
    **parity_postometro.BUILDERS,
}


def run(vector: Vector) -> list[Row]:
    """Builds our module, runs the vector's inputs, compares. What goes wrong on the way is a failed row."""
    try:
        builder = BUILDERS.get(vector.module)
        if builder is None:
            return [Row(vector.label, "", passed=False, note=f"no builder for {vector.module}")]
        with torch.no_grad():
            return list(compare(vector, builder(vector)))
    except Exception as error:  # one vector that cannot run must not hide the others
        return [Row(vector.label, "", passed=False, note=f"{type(error).__name__}: {error}")]


def line(row: Row, width: int) -> str:
    errors = f"{row.absolute:9.2e}  {row.relative:9.2e}" if row.absolute is not None else f"{'-':>9}  {'-':>9}"
    return f"{row.label:{width}}  {row.output:16}  {errors}  {'pass' if row.passed else 'fail'}  {row.note}".rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.parity", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="tree of vectors, or one vector's folder")
    parser.add_argument("--only", metavar="PATTERN", help="shell pattern for system/vector, vector or module")
    options = parser.parse_args(arguments)
    try:
        vectors = find_vectors(options.folder, options.only)
    except MocapError as error:
        parser.exit(1, f"{error}\n")
    width = max(len(vector.label) for vector in vectors)
    print(f"{'vector':{width}}  {'output':16}   absolute   relative")
    failed = passed = 0
    while vectors:
        for row in run(vectors.pop(0)):  # full-size ones do not all fit into memory
            print(line(row, width), flush=True)
            failed, passed = failed + (not row.passed), passed + row.passed
    print(f"{passed} passed, {failed} failed; tolerance {TOLERANCE:g}, relative to the largest magnitude above 1")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
