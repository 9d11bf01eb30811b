"""TokenHMR's released tokenizer as this project's: ``python -m training.checkpoints tokenizer.pth --out ours.npz``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mocap.errors import MocapError
from mocap.models.tokenizer import save_tokenizer
from mocap.models.tokenizer_checkpoint import load_released_tokenizer


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.checkpoints", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="TokenHMR's tokenizer.pth")
    parser.add_argument("--out", type=Path, required=True, help="our weights, .npz; a .json is written beside it")
    options = parser.parse_args(arguments)
    try:
        tokenizer = load_released_tokenizer(options.checkpoint)
        save_tokenizer(tokenizer, options.out, {"source": options.checkpoint.name})
    except (MocapError, OSError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{options.out}: {tokenizer.config}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
