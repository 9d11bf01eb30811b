"""Who was recorded: the subject of a clip, the same for every file format that the person appears in.

A subject's name is unique over all sources, since the splits go by it: ``cmu/05`` is one person in every CMU file.
"""

from __future__ import annotations

import re

# ACCAD's three actors, by the prefixes of the recordings. The martial arts (E.., G..) are the third actor's.
_ACCAD = (("training_model01", "female1"), ("training_model05", "male1"), ("training_model10", "male2"),
          ("female", "female1"), ("male1", "male1"), ("male2", "male2"),
          ("martialarts", "male2"))  # fmt: skip
_ACCAD_MARTIAL_ARTS = re.compile(r"[eg]\d+[_-]")
_CMU = re.compile(r"0*(\d{1,3})[_-]\d{1,2}")  # subject_trial: 01_01, 005_12, 01-01_v01

# cmu_eval names actions, not people. These of its clips, and one of cmu_amc's dances, are recordings that another file
# has too (limbs within 2 cm, frame by frame), so their performers are known.
_SAME_AS = {
    "train/walking/walking_1": "02",
    "train/walking/walking_2": "05",
    "train/walking/walking_3": "06",
    "train/walking/walking_4": "07",
    "train/walking/walking_5": "07",
    "pirouette": "05",
}
# By action: CMU's subject where it is known, else clips whose performers may be the same stay together.
_CMU_EVAL_ACTIONS = {
    "basketball": "cmu/06",
    "walking": "cmu_eval/locomotion",
    "walking_extra": "cmu_eval/locomotion",
    "running": "cmu_eval/locomotion",
    "jumping": "cmu_eval/locomotion",
}


def subject_of(source: str, clip: str) -> str:
    """The subject of a clip; a clip whose performer is unknown is a subject of its own."""
    stem = clip.lower()
    if source.startswith("accad"):
        return "accad/" + _accad(stem)
    if source.startswith("cmu") and stem in _SAME_AS:
        return f"cmu/{_SAME_AS[stem]}"
    if source.startswith("cmu_eval"):
        action = stem.split("/")[1] if "/" in stem else stem
        return _CMU_EVAL_ACTIONS.get(action, f"cmu_eval/{action}")
    if source.startswith("cmu"):
        found = _CMU.match(stem)
        return f"cmu/{int(found[1]):02d}" if found else f"cmu/{stem.rstrip('0123456789')}"
    numbered = re.search(r"subject_?(\d+)", stem)  # LAFAN1: walk1_subject5
    return f"{source}/subject{numbered[1]}" if numbered else f"{source}/{stem}"


def _accad(stem: str) -> str:
    for prefix, actor in _ACCAD:
        if stem.startswith(prefix):
            return actor
    return "male2" if _ACCAD_MARTIAL_ARTS.match(stem) else stem
