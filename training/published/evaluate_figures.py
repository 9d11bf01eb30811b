"""What the papers report, in mm, by system and data set; each figure with its table and what it was trained on.

TokenHMR: Dwivedi et al. 2024 (MVE is the PVE here). INT: Yang et al. 2023. VQ-HPS: Fiche et al. 2023, the first
version on arXiv, trained on 3DPW alone; the released weights are those of the version at ECCV, whose figures are
others. PostoMETRO: the supplement, fine-tuned on 3DPW.
"""

from __future__ import annotations

from dataclasses import dataclass

MPJPE, PA_MPJPE, PVE, ACCELERATION = "MPJPE", "PA-MPJPE", "PVE", "Accel"
METRICS = (MPJPE, PA_MPJPE, PVE, ACCELERATION)


@dataclass(frozen=True)
class Figure:
    """One row of a paper's table."""

    title: str  # which variant, and in brackets what it was trained on
    table: str
    mm: dict[str, float]  # by a name of METRICS; Accel is mm per frame²


def _meshes(title: str, table: str, pve: float, mpjpe: float, pa_mpjpe: float) -> Figure:
    return Figure(title, table, {MPJPE: mpjpe, PA_MPJPE: pa_mpjpe, PVE: pve})


def _clips(title: str, table: str, pa_mpjpe: float, mpjpe: float, pve: float, acceleration: float) -> Figure:
    return Figure(title, table, {MPJPE: mpjpe, PA_MPJPE: pa_mpjpe, PVE: pve, ACCELERATION: acceleration})


FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    # SD: standard data sets, ITW: in the wild, BL: BEDLAM.
    ("tokenhmr", "3dpw"): (
        _meshes("TokenHMR (SD + ITW + BL)", "Table 1", 84.6, 71.0, 44.3),
        _meshes("TokenHMR (BL)", "Table 1", 86.0, 70.5, 43.8),
        _meshes("TokenHMR (SD + ITW)", "Table 1", 88.1, 76.2, 49.3),
    ),
    ("tokenhmr", "emdb"): (
        _meshes("TokenHMR (SD + ITW + BL)", "Table 1", 109.4, 91.7, 55.6),
        _meshes("TokenHMR (BL)", "Table 1", 104.2, 88.1, 49.8),
        _meshes("TokenHMR (SD + ITW)", "Table 1", 124.4, 102.4, 67.5),
    ),
    ("hmr2", "3dpw"): (
        _meshes("HMR2.0 (SD)", "TokenHMR's Table 1", 84.1, 70.0, 44.5),
        _meshes("HMR2.0 (SD + ITW)", "TokenHMR's Table 1", 94.4, 81.3, 54.3),
        _meshes("HMR2.0 (BL)", "TokenHMR's Table 1", 88.4, 72.2, 45.1),
        _meshes("HMR2.0 (SD + ITW + BL)", "TokenHMR's Table 1", 88.4, 77.4, 47.4),
    ),
    ("hmr2", "emdb"): (
        _meshes("HMR2.0 (SD)", "TokenHMR's Table 1", 120.1, 97.8, 61.5),
        _meshes("HMR2.0 (SD + ITW)", "TokenHMR's Table 1", 140.6, 118.5, 79.3),
        _meshes("HMR2.0 (BL)", "TokenHMR's Table 1", 106.6, 90.7, 51.3),
        _meshes("HMR2.0 (SD + ITW + BL)", "TokenHMR's Table 1", 120.7, 99.3, 62.8),
    ),
    ("int", "3dpw"): (
        _clips("INT-1 (without 3DPW)", "Table 1", 49.7, 90.0, 105.1, 23.5),
        _clips("INT-2 (with 3DPW)", "Table 1", 42.0, 75.6, 87.9, 16.5),
        _clips("INT-2, 16 frames", "Table 4", 42.2, 76.6, 88.8, 18.1),
        _clips("INT-2, 64 frames", "Table 4", 42.3, 75.9, 88.5, 17.4),
    ),
    ("int", "h36m"): (
        Figure("INT-1 (without 3DPW)", "Table 1", {PA_MPJPE: 39.1, MPJPE: 57.1}),
        Figure("INT-2 (with 3DPW)", "Table 1", {PA_MPJPE: 38.4, MPJPE: 54.9}),
    ),
    ("vqhps", "3dpw"): (
        _meshes("VQ-HPS (3DPW alone), valid frames", "v1's Table 1", 163.88, 139.80, 84.92),
        _meshes("VQ-HPS-rot (3DPW alone), valid frames", "v1's Table 1", 160.68, 136.58, 84.92),
        _meshes("VQ-HPS (3DPW alone), all frames", "v1's footnote 1", 184.08, 157.49, 87.12),
        _meshes("VQ-HPS-rot (3DPW alone), all frames", "v1's footnote 2", 180.31, 153.20, 87.12),
    ),
    ("postometro", "3dpw"): (
        _meshes("ResNet-50 (fine-tuned on 3DPW)", "Table S11", 78.0, 68.4, 40.8),
        _meshes("HRNet-W48 (fine-tuned on 3DPW)", "Table S11", 76.8, 67.7, 39.8),
        _meshes("ResNet-50, true pose tokens", "Table S10", 65.9, 57.7, 31.3),
        Figure("without 3DPW", "Table S12", {PA_MPJPE: 48.9}),
    ),
}


def figures(system: str, data: str) -> tuple[Figure, ...]:
    """What the paper says about a data set; nothing where it has no figure, or where its text was not at hand."""
    return FIGURES.get((system, data), ())
