"""Reads pickles of arrays, and arrays that are pickles, without trusting the file.

A pickle can call anything that it can name. Here it can name NumPy's array constructors and what a subclass adds;
everything else is an error before it runs.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mocap.errors import MocapError

ADVICE = "Do not open this file; get it again from where it was published."


class ArrayUnpickler(pickle.Unpickler):
    """Gives arrays, NumPy's scalars and plain containers.

    Args:
        advice: What the user is told to do about a file that names something else.
    """

    def __init__(self, file: Any, name: Path, advice: str = ADVICE) -> None:
        super().__init__(file, encoding="latin1")  # what Python 2 wrote as str becomes str, byte for byte
        self._name, self._advice = name, advice

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")  # NumPy 2's name
        if (array := _NUMPY.get((module, name))) is not None:
            return array
        if (helper := _HELPERS.get((module, name))) is not None:
            # A function of this load alone: a pickle may write attributes onto what it names.
            return lambda *args: helper(*args)
        raise MocapError(
            f"{self._name}: expected a pickle of arrays only, found one that names {module}.{name}. {self._advice}"
        )


def encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding}")
    return text.encode("latin1")


class PickledArray(np.ndarray):
    """An array of a pickle. It refuses element types that would read the file's bytes as pointers."""

    def __setstate__(self, state: Any) -> None:
        checked(state[-3])
        super().__setstate__(state)


def checked(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Numbers, text, or whole Python objects; a pickle can also write the fields and flags of a type.

    Raises:
        pickle.UnpicklingError: it is another.
    """
    good = dtype.flags == np.dtype(object).flags if dtype.kind == "O" else not dtype.hasobject
    if dtype.kind not in "biufcSUmMO" or not good:
        raise pickle.UnpicklingError(f"unexpected element type {dtype}")
    return dtype


def refused(*_: Any) -> Any:
    """Not to be called."""
    raise pickle.UnpicklingError("unexpected call of numpy.ndarray")


def scalar(dtype: np.dtype[Any], value: Any) -> Any:
    """One number."""
    if checked(dtype).kind == "O":
        raise pickle.UnpicklingError("unexpected scalar that is an object")
    return _core.multiarray.scalar(dtype, value)


def frombuffer(buffer: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> Any:
    """An array of numbers, as protocol 5 has it."""
    if checked(dtype).kind == "O":
        raise pickle.UnpicklingError("unexpected buffer of objects")
    return _core.numeric._frombuffer(buffer, dtype, shape, order)


_core: Any = np.core
_NUMPY: dict[tuple[str, str], Any] = {("numpy", "dtype"): np.dtype}
_HELPERS: dict[tuple[str, str], Callable[..., Any]] = {
    # Not the class itself: called, it makes arrays of a pickle's own bytes. What is made here is filled by BUILD.
    ("numpy", "ndarray"): refused,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _core.multiarray._reconstruct(PickledArray, (0,), b"b"),
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy.core.numeric", "_frombuffer"): frombuffer,
    ("_codecs", "encode"): encode,
}


def read_pickle(file: IO[bytes], name: Path) -> Any:
    """What a pickle of arrays and plain containers holds.

    Raises:
        MocapError: it names anything else, or is no pickle.
    """
    try:
        return ArrayUnpickler(file, name).load()
    except MocapError:
        raise
    except Exception as error:  # a broken pickle fails in ways without number
        raise MocapError(f"{name}: expected a pickle of arrays, could not read it ({error})") from error


def read_npy(entry: IO[bytes], unpickle: Callable[[IO[bytes]], Any]) -> Any:
    """One ``.npy`` entry of an open archive; one that holds Python objects goes through ``unpickle``."""
    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read(entry)
    if dtype.hasobject:
        return unpickle(entry)
    entry.seek(0)
    return np.lib.format.read_array(entry, allow_pickle=False)


class NpzArrays(Mapping[str, Any]):
    """The arrays of an ``.npz``, each read when it is asked for.

    Args:
        unpickle: What reads an array of Python objects, of a file and its name.

    Raises:
        MocapError: there is no such file or it is no npz; from a look-up: an array is broken, or a pickle that names
            more than arrays.
    """

    def __init__(self, path: Path, unpickle: Callable[[IO[bytes], Path], Any] = read_pickle) -> None:
        self._path, self._unpickle = path, unpickle
        try:
            with zipfile.ZipFile(path) as archive:
                self._names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
        except (OSError, zipfile.BadZipFile) as error:
            raise MocapError(f"{path}: expected an npz file, could not read it ({error})") from error

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(f"{name}.npy") as entry:
                return read_npy(entry, lambda file: self._unpickle(file, self._path / name))
        except MocapError:
            raise
        except Exception as error:  # zipfile, NumPy and zlib each have errors of their own
            raise MocapError(f"{self._path}: expected an array in {name}, could not read it ({error})") from error

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
