"""`mocap engines`: build, list, clean and measure what the networks were compiled to."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import engines
from engines import benchmark, cache
from engines.backends import refusal
from mocap.config import CaptureConfig, RegressorName
from mocap.models import blazepose, networks, parity
from mocap.models.token_capture import TokenCapture
from mocap.motion import Motion
from mocap.people.landmarks import observe
from mocap.people.picture import Picture
from mocap.people.track import person_of


def build(backend: str, precision: str, people: int, verify: bool, regressor: RegressorName = "tokens") -> int:
    """Build the engines of every network of a regressor's captures, or find them built. Returns 0, or 1 where one of
    them is off from eager.

    Raises:
        MocapError: the regressor is a published network that was not imported.
        engines.EngineError: nothing of what was asked for can run one of the networks.
    """
    made = []
    for network in networks.of_regressor(regressor, people):
        start = time.perf_counter()
        engine = engines.compile(network, backend, precision)
        made.append((network, engine))
        print(f"{network.name:22s} {engine.target:24s} ready in {time.perf_counter() - start:5.1f} s")
    print(f"kept in {cache.default_directory()}")
    return _verify(made, chain=regressor == "tokens") if verify else 0


def _verify(made: Sequence[tuple[engines.Network, engines.Engine]], chain: bool) -> int:
    """Compare with the networks themselves, in float32 on the CPU, on views of the shipped clip; the landmark network
    and the learned capture also as a chain."""
    print(f"\n{'on views of the demo clip, against eager float32':48s} {'error':>9s} {'limit':>9s}")
    failed = False
    rows = [(network.name, *parity.error(network, engine)) for network, engine in made]
    by_name = {network.name: engine for network, engine in made}
    if chain:
        rows.append(("whole chain", "joints, mm", parity.chain_error_mm(by_name), parity.LIMIT_MM))
    for name, what, error, limit in rows:
        good = error <= limit
        failed |= not good
        print(f"{name:22s} {what:25s} {error:9.2g} {limit:9.2g}  {'ok' if good else 'OFF'}")
    if failed:
        print("\nnext: mocap engines build --precision float32 --verify, or another --backend")
    return int(failed)


def show() -> int:
    """Print what the cache holds. Returns 0."""
    folder = cache.default_directory()
    found = cache.entries(folder)
    for one in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used))
        print(f"{one.name:22s} {one.target:24s} {one.bytes / 1e6:6.1f} MB   last used {used}")
    total = sum(one.bytes for one in found) / 1e6
    print(f"{len(found)} engines, {total:.0f} of at most {cache.limit_mb():.0f} MB ({cache.LIMIT}) in {folder}")
    if not found:
        print("next: mocap engines build (or just mocap live, which builds what it needs)")
    return 0


def clean() -> int:
    """Remove everything from the cache. Returns 0."""
    folder = cache.default_directory()
    print(f"freed {cache.clean(folder) / 1e6:.0f} MB in {folder}")
    return 0


def bench(backends: Sequence[str], batches: Sequence[int], rounds: int, json_file: str | None) -> int:
    """Measure every network on every backend, then whole chains, those of one number of people in turns. Returns 0.

    Raises:
        engines.EngineError: there is no such backend, or the file cannot be written.
    """
    if json_file:
        benchmark.check_writable(Path(json_file))
    found = benchmark.run(benchmark.PRODUCT, backends, batches, rounds)
    here = [backend for backend in backends if refusal(backend.split(":")[0]) is None]
    print("\n| whole chain | people | median | 95 % | frames a second |\n|---|---|---|---|---|")
    chains = []
    for people in batches:
        for backend, times in benchmark.measure({one: _chain(one, people) for one in here}, rounds).items():
            milliseconds = f"{times.median_ms:.1f} ms | {times.p95_ms:.1f} ms"
            print(f"| {backend} | {people} | {milliseconds} | {1e3 / times.median_ms:.0f} |")
            chains.append({"backend": backend, "people": people, "times": asdict(times)})
    if json_file:
        benchmark.write(Path(json_file), {"rows": [asdict(row) for row in found], "chains": chains})
    return 0


def _chain(backend: str, people: int) -> Callable[[], None]:
    """From the frame to the placed and smoothed pose, of so many people in one frame; nobody has to be found."""
    view, clock = parity.views()[0], itertools.count()
    landmarker = blazepose.load_landmarker(backend, people, features=True)
    capture, motion = TokenCapture(backend, people), Motion(CaptureConfig(max_people=people))

    def step() -> None:
        frame = replace(view.frame, t_capture=next(clock) / 30)
        observed = observe(landmarker, Picture(frame.rgb), [view.roi] * people)
        persons = tuple(person_of(index, one) for index, one in enumerate(observed))
        motion.update(frame.t_capture, capture(frame, persons, view.camera), persons, view.camera)

    return step
