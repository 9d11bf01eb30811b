"""From a network to an engine: which backend, device and precision, and what is done when one of them cannot."""

from __future__ import annotations

import atexit
import functools
import hashlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tqdm import tqdm

from engines import cache, parity
from engines.backends import BACKENDS, PRECISIONS, Backend, Keeping, Starting, Target, get, refusal
from engines.engine import Engine, EngineError, Run
from engines.network import BrokenNetwork, Network, built

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

BUILD = "mocap engines build"


def compile(network: Network, backend: str = "auto", precision: str = "auto", cache_dir: Path | None = None) -> Engine:
    """Makes an engine of a network, from the cache where it has been made before.

    Args:
        backend: ``auto``, or one of ``engines.backends.BACKENDS``, with or without a device: ``openvino:GPU``.
        precision: ``float32``, ``float16``, ``bfloat16``, or ``auto``: the first of the device's whose answers are
            near enough to float32's.
        cache_dir: Not given: the user's cache directory. Where it cannot be written, the engine is built for this
            process alone.

    Raises:
        EngineError: none of what was asked for can run the network; says why, for each.
    """
    return _first(network, backend, precision, functools.partial(_make, cache_dir or cache.default_directory()))


def load(network: Network, backend: str = "auto", precision: str = "auto", cache_dir: Path | None = None) -> Engine:
    """The same, from the cache alone: nothing is built.

    Raises:
        EngineError: it has not been built.
    """
    return _first(network, backend, precision, functools.partial(_kept, cache_dir or cache.default_directory()))


def targets(backend: str, precision: str) -> Iterator[Target | str]:
    """What is to be tried, best first; or in words why something cannot.

    Raises:
        EngineError: there is no such backend, device or precision.
    """
    name, _, device = backend.partition(":")
    if name == "auto" and device:
        raise EngineError(f"Expected a backend before the device, such as openvino:{device}, found '{backend}'")
    if precision not in ("auto", *PRECISIONS):
        raise EngineError(f"Precision '{precision}' is not known; known are auto, {', '.join(PRECISIONS)}")
    for one in BACKENDS if name == "auto" else [name]:
        reason = refusal(one)
        if reason is not None:
            yield reason
            continue
        try:
            places = {place: get(one).precisions(place) for place in get(one).devices()}
        except Exception as error:  # it is installed, and its library does not load
            yield f"Backend '{one}' cannot be used here: {_in_a_line(error)}"
            continue
        if device and device not in places:
            raise EngineError(f"Backend '{one}' knows the devices {', '.join(places)} here, not '{device}'")
        for place, able in places.items():
            if device not in ("", place):
                continue
            if precision not in ("auto", *able):
                yield f"Backend '{one}' computes in {' or '.join(able)} on {place}; asked for {precision}"
            yield from (Target(one, place, each) for each in able if precision in ("auto", each))


def _first(network: Network, backend: str, precision: str, make: Callable[[Network, Target], Run]) -> Engine:
    """The first target that can, with the reasons why those before it could not."""
    start = time.perf_counter()
    refused: list[str] = []
    failed: list[str] = []
    for target in targets(backend, precision):
        if isinstance(target, str):
            refused.append(target)
            continue
        try:
            run = make(network, target)
        except BrokenNetwork:
            raise
        except (EngineError, OSError) as error:
            failed.append(str(error))
            continue
        for reason in failed:
            logger.warning("%s", reason)
        tell_once(tuple(refused))
        logger.info("Engine %s: %s, ready in %.2f s", network.name, target, time.perf_counter() - start)
        home = target.device if get(target.backend).RESIDENT else None
        return Engine(network.name, target.backend, network.spec, run, target.device, target.precision, home)
    raise EngineError("; ".join(failed or refused))


@functools.cache
def tell_once(reasons: tuple[str, ...]) -> None:
    """Log why better backends are not used: once a process, not for every network."""
    for reason in reasons:
        logger.info("%s", reason)


def _make(folder: Path, network: Network, target: Target) -> Run:
    maker = get(target.backend)
    module = functools.cache(functools.partial(built, network))
    if not hasattr(maker, "load"):
        starting = cast(Starting, maker)
        run = _guarded(target, network, lambda: starting.start(module(), network.spec, target))
        if target.backend != "eager":
            parity.check(network, target, run, module())
        return run
    keeping = cast(Keeping, maker)
    try:
        return _from_cache(folder, network, target, keeping, module)
    except cache.UnwritableCache as error:
        logger.warning("%s. Engine %s is built for this run alone", error, network.name)
        return _from_cache(_own_folder(), network, target, keeping, module)


def _from_cache(folder: Path, network: Network, target: Target, maker: Keeping, module: Callable[[], nn.Module]) -> Run:
    """From its folder, which is filled first where it is absent or broken."""
    wanted = _entry(folder, network, target, maker)
    load = functools.partial(maker.load, network.spec, target)
    run = cache.try_load(wanted, load)
    if run is not None:
        return run
    logger.info("Building engine %s; the next start finds it in the cache", wanted.folder.name)

    def fill(scratch: Path) -> dict[str, float]:
        with tqdm(total=3, desc=f"{network.name} for {target}", unit="step", leave=False, disable=None) as progress:
            eager = module()
            progress.update()
            _guarded(target, network, lambda: maker.build(eager, network.spec, target, scratch))
            progress.update()
            return parity.check(network, target, _guarded(target, network, lambda: load(scratch)), eager)

    cache.build(wanted, fill)
    return _guarded(target, network, lambda: load(wanted.folder))


def _kept(folder: Path, network: Network, target: Target) -> Run:
    maker = get(target.backend)
    if not hasattr(maker, "load"):
        raise EngineError(f"Backend '{target.backend}' keeps no engines; nothing can be loaded for '{network.name}'")
    keeping = cast(Keeping, maker)
    wanted = _entry(folder, network, target, keeping)
    run = cache.try_load(wanted, functools.partial(keeping.load, network.spec, target))
    if run is None:
        raise EngineError(f"No engine of '{network.name}' for {target} is in {folder}; build it with: {BUILD}")
    return run


def _entry(folder: Path, network: Network, target: Target, maker: Backend) -> cache.Entry:
    return cache.entry(folder, network, target, {**maker.versions(target.device), "code": _code(target.backend)})


@functools.cache
def _code(backend: str) -> str:
    """Hash of the code that builds and loads: what an earlier version of it kept is not ours."""
    here = Path(__file__).parent
    sources = (here / "export.py", here / "backends" / f"{backend}.py")
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


@functools.cache
def _own_folder() -> Path:
    """A folder of this process, gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="mocap-engines-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _guarded(target: Target, network: Network, action: Callable[[], Any]) -> Any:
    """Runs a compiler; whatever it raises becomes one clear error."""
    try:
        return action()
    except (EngineError, OSError):
        raise
    except Exception as error:  # every compiler has its own
        raise EngineError(f"{target}: '{network.name}' cannot be built: {_in_a_line(error)}") from error


def _in_a_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if type(error).__name__ == "OutOfMemoryError":
        return f"the GPU's memory is full ({text}); close what else runs on it, or take another backend"
    return text
