"""What the people of the demo clips do and wear."""

from __future__ import annotations

from dataclasses import dataclass

from training.gait import Script, walk_steps
from training.person import Outfit

TOM = Outfit(
    {"gender": 0.05, "age": 0.64, "muscle": 0.55, "weight": 0.48, "height": 0.42, "caucasian": 0.9},
    suit="male_casualsuit06",
    suit_colors=((0.68, 0.2, 0.17), (0.17, 0.21, 0.34)),
    shoes="shoes01",
    shoes_color=(0.12, 0.11, 0.11),
    hair="short04",
    hair_color=(0.13, 0.09, 0.07),
    skin=(0.84, 0.63, 0.52),
)
AMA = Outfit(
    {"gender": 0.95, "age": 0.62, "muscle": 0.5, "weight": 0.5, "height": 0.5, "african": 0.9},
    suit="female_casualsuit01",
    suit_colors=((0.87, 0.84, 0.78), (0.2, 0.32, 0.3)),
    shoes="shoes02",
    shoes_color=(0.75, 0.74, 0.72),
    hair="ponytail01",
    hair_color=(0.09, 0.07, 0.06),
    skin=(0.52, 0.36, 0.28),
    eyebrows="eyebrow002",
)
SAM = Outfit(
    {"gender": 0.1, "age": 0.7, "muscle": 0.5, "weight": 0.56, "height": 0.45, "asian": 0.9},
    suit="male_casualsuit03",
    suit_colors=((0.25, 0.4, 0.58), (0.42, 0.38, 0.31)),
    shoes="shoes01",
    shoes_color=(0.3, 0.2, 0.14),
    hair="short02",
    hair_color=(0.1, 0.08, 0.08),
    skin=(0.86, 0.68, 0.54),
)

SOLO = Script(
    duration=9.4,
    path={
        "x": [(5.25, 0), (6.75, 0.85)],
        "z": [(4.25, 0), (5.55, 0.5)],
        "yaw": [(4.95, 0), (5.7, 90), (6.35, 90), (7.1, 0)],
    },
    steps=walk_steps(4.25, 6, "left", swing=0.41, gap=0.08),
    angles={
        "left_flex": [(0, 3), (0.9, 14), (1.7, 4), (2.25, 4), (2.95, 88), (3.35, 88), (4.05, 3),
                      (7.4, 3), (8.15, 112), (8.35, 112), (9.05, 3)],
        "left_elbow": [(0, 15), (0.9, 45), (1.7, 16), (2.25, 16), (2.95, 8), (3.35, 8), (4.05, 16),
                       (7.4, 16), (8.15, 20), (8.35, 20), (9.05, 16)],
        "right_abduct": [(3.0, 11), (3.5, 62), (4.35, 62), (4.9, 11)],
        "right_twist": [(3.0, 0), (3.45, 80), (4.35, 80), (4.8, 0)],
        "right_elbow": [(0.3, 16), (1.2, 38), (2.0, 16), (3.0, 16), (3.45, 100), (3.65, 72), (3.85, 112), (4.05, 72),
                        (4.25, 108), (4.45, 80), (4.9, 16), (7.4, 16), (8.15, 20), (8.35, 20), (9.05, 16)],
        "right_pronate": [(3.0, 15), (3.5, 0), (4.3, 0), (4.8, 15)],
        "right_flex": [(0.3, 3), (1.2, 10), (2.0, 3), (3.0, 3), (3.4, 14), (4.35, 14), (4.9, 3),
                       (7.4, 3), (8.15, 112), (8.35, 112), (9.05, 3)],
        "crouch": [(7.4, 0), (8.15, 0.36), (8.35, 0.36), (9.05, 0)],
        "bend": [(7.4, 0), (8.15, 12), (8.35, 12), (9.05, 0)],
        "look": [(1.0, 0), (1.4, 18), (1.9, 0), (4.7, 0), (5.2, 25), (5.8, 0), (6.2, 0), (6.6, -25), (7.1, 0)],
    },
    seed=1,
)  # fmt: skip


def _crossing(x: float, z: float, side: float, start: float, seed: int, first: str) -> Script:
    """Stands at (x, z), turns to the side (1: +X), walks across, and turns back to the camera."""
    return Script(
        duration=6.0,
        path={
            "x": [(start, x), (start + 3.7, x + side * 2.35)],
            "z": [(0, z)],
            "yaw": [(start - 0.1, 0), (start + 0.6, side * 88), (start + 3.2, side * 88), (start + 3.9, 0)],
        },
        steps=walk_steps(start, 8, first, swing=0.39, gap=0.09),
        angles={"look": [(0, 0), (start - 0.3, 0), (start, side * 15), (start + 0.7, 0)]},
        seed=seed,
    )


@dataclass(frozen=True)
class Clip:
    """People and what each does; the world's origin is where the first one starts."""

    name: str
    cast: tuple[tuple[Outfit, Script], ...]
    room_seed: int


CLIPS = (
    Clip("demo", ((TOM, SOLO),), room_seed=0),
    Clip(
        "demo_two",
        (
            (SAM, _crossing(-1.15, 0.45, 1.0, 0.9, 2, "right")),
            (AMA, _crossing(1.15, -0.45, -1.0, 1.05, 3, "left")),
        ),
        room_seed=4,
    ),
)
