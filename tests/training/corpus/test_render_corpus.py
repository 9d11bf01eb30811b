"""The contact sheet of a corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vtk")
pytest.importorskip("smplx")

from mocap.errors import MocapError
from training.corpus.jobs import Piece, to_quats
from training.corpus.scripted import scripted
from training.corpus.store import write_corpus
from training.datasets.corpus import Corpus
from training.render_corpus import contact_sheet


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    motions = [scripted(kind, (0, 0)) for kind in ("wave", "pushup")]
    pieces = [
        Piece(m.name, m.source, m.name.split("/")[0], 0, m.fps, to_quats(m.R_parent_joint), m.p_world_root)
        for m in motions
    ]
    write_corpus(tmp_path / "corpus", pieces, {"distinct": np.zeros(0, int), "train_rows": np.zeros(0, int)}, {})
    return Corpus.open(tmp_path / "corpus")


def test_every_kind_has_its_bodies(corpus: Corpus) -> None:
    sheet = np.asarray(contact_sheet(corpus, ["wave", "pushup", "wave"], columns=2, size=60))
    assert sheet.shape == (2 * 60, 2 * 2 * 60, 3)
    for cell in (sheet[20:60, 60:120], sheet[20:60, 120:180], sheet[80:120, :60]):
        assert cell.std() > 5  # a body before the background
    assert sheet[80:, 120:].std() == 0  # no fourth kind


def test_an_unknown_kind_is_an_error_that_names_the_kinds(corpus: Corpus) -> None:
    with pytest.raises(MocapError, match=r"'swim'.*pushup, wave"):
        contact_sheet(corpus, ["swim"])
