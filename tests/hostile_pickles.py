"""Pickles that make a file when they are opened by the plain pickle."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Hostile:
    """Unpickled by the plain pickle, this makes a file."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def payloads(mark: Path) -> dict[str, bytes]:
    command = f"touch {mark}"
    named = {
        "dotted numpy": b"cnumpy\ncore.multiarray.os.system\n",
        "numpy gadget": b"cnumpy.testing._private.utils\nrunstring\n",
        "builtins": b"c__builtin__\neval\n",
        "numpy.load": b"cnumpy\nload\n",
        "reconstructor": b"ccopy_reg\n_reconstructor\nccopy_reg\n__newobj__\nc__builtin__\nobject\nN\x87R",
    }
    argument = b"U" + bytes([len(command)]) + command.encode() + b"\x85R."
    return {
        "pointers": pickle.dumps(Hostile(np.ndarray, (1,), "O", b"AAAAAAAA")),
        "os.system": pickle.dumps({"v_template": Hostile(os.system, command)}),
        "eval": pickle.dumps(Hostile(eval, f"open({str(mark)!r}, 'w')")),
        "protocol 0": pickle.dumps(Hostile(os.system, command), 0),
        **{key: b"\x80\x02" + name + argument for key, name in named.items()},
    }
