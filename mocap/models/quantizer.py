"""Vector quantisation with a codebook that follows its vectors by exponential moving averages (VQ-VAE, T2M-GPT).

Under ``torch.distributed`` every process holds the same codebook and updates it from the vectors of all processes, as
one process would from the whole batch (the processes' parts in the order of their ranks).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

_CHUNK = 16384  # vectors compared with the codebook at once: 128 MiB of distances to 2048 codes


@dataclass(frozen=True)
class Quantized:
    """What a :class:`Quantizer` makes of latents (B, D, M)."""

    z: Tensor  # (B, D, M) codes; their gradient goes to the latents unchanged (straight-through)
    indices: Tensor  # (B, M) int64; (B, M, Q) of a :class:`ResidualQuantizer`
    commitment: Tensor  # () mean over entries of (latent - sg[code])^2, the third term of the paper's Eq. 5
    perplexity: Tensor  # () exp of the entropy of the codes used in this batch, of all processes while training


class Quantizer(nn.Module):
    """Nearest code by squared distance; in training mode each forward then moves the codebook.

    A code's count and sum decay by ``decay`` and take in the vectors that chose it. What is made of them, and what
    becomes of codes that are not chosen, is for the subclasses to say.

    Args:
        codes: K.
        dim: D, length of a code.
    """

    codebook: Tensor  # (K, D)
    code_sum: Tensor  # (K, D)
    code_count: Tensor  # (K,)

    def __init__(self, codes: int, dim: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codes, dim))
        self.register_buffer("code_sum", torch.zeros(codes, dim))
        self.register_buffer("code_count", torch.zeros(codes))

    def forward(self, z: Tensor) -> Quantized:
        """Latents (B, D, M) -> their codes. Computed in float32 whatever the autocast."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            vectors = z.transpose(1, 2).flatten(0, 1)  # (B M, D)
            if self.training:
                self._start(vectors.detach())
            indices = self.nearest(vectors)
            codes = F.embedding(indices, self.codebook).unflatten(0, (z.shape[0], z.shape[2])).transpose(1, 2)
            counts = self._count(indices)
            if self.training:
                counts = self._update(vectors.detach(), indices, counts)
            return Quantized(
                z=z + (codes - z).detach(),
                indices=indices.view(z.shape[0], z.shape[2]),
                commitment=F.mse_loss(z, codes),
                perplexity=_perplexity(counts),
            )

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """Vectors (N, D) -> index of the nearest code (N,) int64."""
        squares = self.codebook.square().sum(-1)
        parts = vectors.split(_CHUNK)
        # |v - c|^2 without |v|^2, which is the same for all codes: one pass over the distances instead of three.
        return torch.cat([torch.addmm(squares, part, self.codebook.T, alpha=-2).argmin(-1) for part in parts])

    def encode(self, z: Tensor) -> Tensor:
        """Latents (B, D, M) -> indices of their codes (B, M) int64; the codebook stays."""
        vectors = z.float().transpose(1, 2)
        return self.nearest(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])

    def embed(self, indices: Tensor) -> Tensor:
        """Indices (B, M) -> codes (B, D, M)."""
        return F.embedding(indices, self.codebook).transpose(1, 2)

    def perplexity(self, indices: Tensor) -> Tensor:
        """How many codes indices of any shape use, as () exp of the entropy: K if all are used alike, 1 if one is."""
        return _perplexity(self._count(indices.flatten()))

    def _count(self, indices: Tensor) -> Tensor:
        return torch.bincount(indices, minlength=len(self.codebook)).float()

    @torch.no_grad()
    def set_codebook(self, codebook: Tensor) -> None:
        """Starts from these codes (K, D), each as if one vector had chosen it."""
        self.codebook.copy_(codebook)
        self.code_sum.copy_(codebook)
        self.code_count.fill_(1.0)

    @torch.no_grad()
    def _update(self, vectors: Tensor, indices: Tensor, counts: Tensor) -> Tensor:
        """One step of the averages and of the codebook; returns the counts (K,) of all processes."""
        sums = torch.zeros_like(self.code_sum).index_add_(0, indices, vectors)
        if _distributed():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        self.code_count.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.code_sum.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        self._move(vectors)
        return counts

    def _start(self, vectors: Tensor) -> None:
        """Before vectors (N, D) of a training batch are quantised."""

    def _move(self, vectors: Tensor) -> None:
        """The codebook after the averages have taken in vectors (N, D)."""
        raise NotImplementedError


class EmaQuantizer(Quantizer):
    """A code is sum / count; codes that are not chosen are replaced (T2M-GPT, TokenHMR).

    A code whose count falls below ``reset_below`` becomes a vector of the batch: code k the k-th, in the order (sample,
    token). The codebook starts as the first vectors of the first training batch.

    Args:
        codes: K.
        dim: D, length of a code.
        restart: A reset code's count and sum start again at that vector. Otherwise they go on decaying, as in the
            released TokenHMR, and the code returns to its old place once it has been chosen often enough.
    """

    initialised: Tensor  # () bool

    def __init__(
        self, codes: int, dim: int, decay: float = 0.99, reset_below: float = 1.0, restart: bool = False
    ) -> None:
        super().__init__(codes, dim, decay)
        self.reset_below, self.restart = reset_below, restart
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def set_codebook(self, codebook: Tensor) -> None:
        """Starts from these codes (K, D), each as if one vector had chosen it."""
        super().set_codebook(codebook)
        self.initialised.fill_(True)

    def _start(self, vectors: Tensor) -> None:
        if not self.initialised:
            self.set_codebook(self._first_vectors(vectors))

    def _move(self, vectors: Tensor) -> None:
        unused = (self.code_count < self.reset_below)[:, None]
        replacement = self._first_vectors(vectors)
        self.codebook.copy_(torch.where(unused, replacement, self.code_sum / self.code_count[:, None]))
        if self.restart:
            self.code_sum.copy_(torch.where(unused, replacement, self.code_sum))
            self.code_count.masked_fill_(unused[:, 0], 1.0)

    def _first_vectors(self, vectors: Tensor) -> Tensor:
        """The first K vectors (K, D) of the global batch; fewer are repeated with a little noise."""
        count = len(self.codebook)
        first = vectors[:count].clone()  # the broadcast below writes into it
        if _distributed() and len(vectors) < count:
            parts = [torch.empty_like(first) for _ in range(dist.get_world_size())]
            dist.all_gather(parts, first)
            first = torch.cat(parts)[:count]
        if len(first) < count:
            first = first.repeat(-(-count // len(first)), 1)
            first = (first + 0.01 / first.shape[1] ** 0.5 * torch.randn_like(first))[:count]
        if _distributed():
            dist.broadcast(first, 0)
        return first


class LaplaceQuantizer(Quantizer):
    """A code is sum / count with counts smoothed so that none is zero, and no code is ever replaced (Mesh-VQ-VAE, PCT).

    The count that is kept is the smoothed one: of n = sum of all counts, ``(count + smoothing) / (n + K smoothing) n``
    (van den Oord et al. 2017, appendix A.1, and DeepMind's Sonnet). The codebook starts as normal numbers, each code as
    if one vector had chosen it; the released systems start with counts of zero, which throws every code that the first
    batches do not choose far away.

    Args:
        codes: K.
        dim: D, length of a code.
    """

    def __init__(self, codes: int, dim: int, decay: float = 0.99, smoothing: float = 1e-5) -> None:
        super().__init__(codes, dim, decay)
        self.smoothing = smoothing
        self.set_codebook(self.codebook)

    def _move(self, vectors: Tensor) -> None:
        total = self.code_count.sum()
        smoothed = (self.code_count + self.smoothing) / (total + len(self.code_count) * self.smoothing) * total
        self.code_count.copy_(smoothed)
        self.codebook.copy_(self.code_sum / smoothed[:, None])


class ResidualQuantizer(nn.Module):
    """Quantisers in a row, each of what those before left over; a latent is the sum of Q codes (released Mesh-VQ-VAE).

    Args:
        count: Q.
        shared: All have one codebook.
    """

    def __init__(
        self, count: int, codes: int, dim: int, decay: float = 0.99, smoothing: float = 1e-5, shared: bool = False
    ) -> None:
        super().__init__()
        layers = [LaplaceQuantizer(codes, dim, decay, smoothing) for _ in range(1 if shared else count)]
        self.layers = nn.ModuleList(layers * count if shared else layers)

    def forward(self, z: Tensor) -> Quantized:
        """Latents (B, D, M) -> their codes; commitment and perplexity are sums over the quantisers."""
        left, parts = z.float(), []
        for layer in self.layers:
            parts.append(layer(left))
            left = left - parts[-1].z.detach()
        return Quantized(
            z=torch.stack([part.z for part in parts]).sum(0),
            indices=torch.stack([part.indices for part in parts], -1),
            commitment=torch.stack([part.commitment for part in parts]).sum(),
            perplexity=torch.stack([part.perplexity for part in parts]).sum(),
        )

    def encode(self, z: Tensor) -> Tensor:
        """Latents (B, D, M) -> indices of their codes (B, M, Q) int64; the codebooks stay."""
        left, found = z.float(), []
        for layer in self.layers:
            found.append(layer.encode(left))  # type: ignore[operator]
            left = left - layer.embed(found[-1])  # type: ignore[operator]
        return torch.stack(found, -1)

    def embed(self, indices: Tensor) -> Tensor:
        """Indices (B, M, Q) -> sums of codes (B, D, M)."""
        pairs = zip(self.layers, indices.unbind(-1), strict=True)
        return torch.stack([layer.embed(chosen) for layer, chosen in pairs]).sum(0)  # type: ignore[operator]


def _perplexity(counts: Tensor) -> Tensor:
    share = counts / counts.sum()
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
