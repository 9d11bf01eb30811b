"""Where each picture and its people lie in a tar shard, so that any of them can be read without reading the shard.

A shard is looked through once. What was found is kept in the user's cache folder (``MOCAP_SHARD_INDEX`` names another),
a file a shard, under a name that says which file it is of: a shard that has changed is looked through again. An index
takes about 100 bytes a picture and is mapped into memory, so that thousands of shards open in seconds.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray
from tqdm import tqdm

from mocap.errors import MocapError

FOLDER = "MOCAP_SHARD_INDEX"
PICTURES, PEOPLE, MASKS = ("jpg", "jpeg", "png"), "data.pyd", "detection.npz"
_FORMAT = 1  # of the index files
# Where each part begins in the file and how long it is, in bytes; people of this picture, and of those before it.
NUMBERS = (
    "picture_at", "picture_size", "people_at", "people_size", "masks_at", "masks_size", "count", "before",
)  # fmt: skip
Counter = Callable[[Path, str, bytes], int]  # shard, key and content of a .data.pyd -> people in it
Row = tuple[bytes, int, int, int, int, int, int, int, int]  # key, and NUMBERS


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a member. As in webdataset the suffix begins at the name's first dot."""
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return (f"{folder}/{stem}" if folder else stem), suffix.lower()


def index_of(path: Path, count: Counter) -> NDArray[np.void]:
    """The pictures of a shard (N,) in their order, each with its ``key`` and :data:`NUMBERS`, mapped into memory.

    Raises:
        MocapError: no such file, no tar, or one that is compressed; a picture without people's labels or the other way
            round; the cache folder cannot be written.
    """
    kept = _place(path)
    if kept.is_file():
        try:
            mapped: NDArray[np.void] = np.load(kept, mmap_mode="r", allow_pickle=False)
            return mapped
        except (OSError, ValueError):  # a broken file is as good as none
            pass
    found = _look_through(path, count)
    _keep(kept, found)
    return found


def index_all(paths: Sequence[Path], count: Counter, what: str, threads: int = 4) -> None:
    """Looks through those of many shards that were not yet, with a progress bar.

    Processes that do so at the same time begin at different shards, and leave out what the others have done.
    """
    missing = [path for path in paths if not _place(path).is_file()]
    if not missing:
        return
    start = os.getpid() * 7919 % len(missing)

    def look(path: Path) -> None:
        if not _place(path).is_file():
            index_of(path, count)

    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(look, missing[start:] + missing[:start])
        for _ in tqdm(done, desc=f"{what}: looking through the shards, once", total=len(missing), unit="shard"):
            pass


def _place(path: Path) -> Path:
    """Of a shard's index, which may not be there."""
    if not path.is_file():
        raise MocapError(f"{path}: expected a tar shard, found no file; docs/published_data.md says what to get")
    path, state = path.resolve(), path.stat()
    name = hashlib.sha256(f"{path}|{state.st_size}|{state.st_mtime_ns}|{_FORMAT}".encode()).hexdigest()
    given = os.environ.get(FOLDER)
    folder = Path(given) if given else Path(platformdirs.user_cache_dir("mocap", appauthor=False)) / "shards"
    return folder / f"{path.stem}-{name[:24]}.npy"


def _keep(kept: Path, found: NDArray[np.void]) -> None:
    """Written beside and moved, since other processes may do the same."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".part", delete=False) as file:
            np.save(file, found)
        os.replace(file.name, kept)
    except OSError as error:
        raise MocapError(
            f"{kept.parent}: expected to write the index of a shard there, could not ({error}); free some space, or "
            f"name another folder in {FOLDER}"
        ) from error


def _look_through(path: Path, count: Counter) -> NDArray[np.void]:
    try:
        with tarfile.open(path, "r:") as archive:
            rows = list(_rows(path, archive, count))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise MocapError(
            f"{path}: expected a whole tar shard that is not compressed, could not read it ({error}). Get it again, or "
            "unpack it with gunzip"
        ) from error
    longest = max((len(row[0]) for row in rows), default=1)
    found = np.array(rows, [("key", f"S{longest}"), *((name, "i8") for name in NUMBERS)])
    found["before"] = found["count"].cumsum() - found["count"]
    return found


def _rows(path: Path, archive: tarfile.TarFile, count: Counter) -> Iterator[Row]:
    """A row for each run of members with the same key."""
    key, parts = "", dict[str, tarfile.TarInfo]()
    for member in archive:
        if not member.isfile():
            continue
        this, suffix = split_name(member.name)
        if this != key and parts:
            yield _row(path, archive, count, key, parts)
            parts = {}
        key = this
        parts[suffix] = member
    if parts:
        yield _row(path, archive, count, key, parts)


def _row(path: Path, archive: tarfile.TarFile, count: Counter, key: str, parts: dict[str, tarfile.TarInfo]) -> Row:
    picture = next((parts[suffix] for suffix in PICTURES if suffix in parts), None)
    if picture is None or PEOPLE not in parts:
        raise MocapError(f"{path}: expected {key}.jpg and {key}.{PEOPLE}, found {key} with {', '.join(parts)} only")
    people, masks = parts[PEOPLE], parts.get(MASKS)
    content = archive.extractfile(people)
    assert content is not None
    return (
        key.encode(), picture.offset_data, picture.size, people.offset_data, people.size,
        0 if masks is None else masks.offset_data, 0 if masks is None else masks.size,
        count(path, key, content.read()), 0,
    )  # fmt: skip
