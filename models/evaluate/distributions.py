"""Distances between sets of faces: FID, KID, and the VGGFace score (SF2F, section 5).

Shapes: N faces, D features, C classes. Features must come from one and the same network for both sets, and figures of
different networks never share a column.
"""

from __future__ import annotations

import numpy as np

from models.evaluate.metrics import FloatArray

VFS_SPLITS = 5
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000


def frechet_distance(a_ND: FloatArray, b_ND: FloatArray) -> float:
    """FID: |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B the covariances (Heusel et al. 2017)."""
    offset = a_ND.mean(axis=0) - b_ND.mean(axis=0)
    a_DD, b_DD = np.cov(a_ND, rowvar=False), np.cov(b_ND, rowvar=False)
    a_DD, b_DD = np.atleast_2d(a_DD), np.atleast_2d(b_DD)
    root_DD = _root(a_DD)
    # tr (A B)^(1/2) from the symmetric A^(1/2) B A^(1/2), which has the same eigenvalues: real, and with no complex
    # remainder to cut off. Rounding leaves some a little below 0.
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root_DD @ b_DD @ root_DD), 0, None)).sum()
    return float(offset @ offset + np.trace(a_DD) + np.trace(b_DD) - 2 * cross)


def kernel_distance(a_ND: FloatArray, b_ND: FloatArray, *, seed: int) -> tuple[float, float]:
    """KID: unbiased squared MMD with the kernel (x.y / D + 1)^3, mean and deviation over subsets (Binkowski et al.)."""
    rng = np.random.default_rng(seed)
    size = min(KID_SUBSET_SIZE, len(a_ND), len(b_ND))
    values = []
    for _ in range(KID_SUBSETS):
        a = a_ND[rng.choice(len(a_ND), size, replace=False)]
        b = b_ND[rng.choice(len(b_ND), size, replace=False)]
        values.append(mmd(a, b))
    return float(np.mean(values)), float(np.std(values))


def mmd(a_ND: FloatArray, b_ND: FloatArray) -> float:
    """Unbiased squared maximum mean discrepancy of two sets of one size, cubic polynomial kernel."""
    size, features = a_ND.shape
    aa, bb, ab = ((x @ y.T / features + 1) ** 3 for x, y in ((a_ND, a_ND), (b_ND, b_ND), (a_ND, b_ND)))
    # Without the diagonal: a face against itself is no sample of the distance between two.
    within = (aa.sum() - np.trace(aa) + bb.sum() - np.trace(bb)) / (size * (size - 1))
    return float(within - 2 * ab.mean())


def vggface_score(probability_NC: FloatArray, splits: int = VFS_SPLITS) -> tuple[float, float]:
    """exp of the mean divergence of each face's class probabilities from their mean: over `splits`, mean and deviation.

    As the Inception score, with a classifier of faces. Faces are split in their order.
    """
    scores = []
    for part_NC in np.array_split(probability_NC, splits):
        marginal_C = part_NC.mean(axis=0)
        # The marginal is that of the split: of few faces it is close to each of them, so the score is the smaller.
        ratio_NC = np.log(np.maximum(part_NC, 1e-12)) - np.log(np.maximum(marginal_C, 1e-12))
        scores.append(float(np.exp((part_NC * ratio_NC).sum(axis=1).mean())))
    return float(np.mean(scores)), float(np.std(scores))


def _root(matrix_DD: FloatArray) -> FloatArray:
    values_D, vectors_DD = np.linalg.eigh(matrix_DD)
    root: FloatArray = (vectors_DD * np.sqrt(np.clip(values_D, 0, None))) @ vectors_DD.T
    return root
