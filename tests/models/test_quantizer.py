from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from mocap.models.quantizer import EmaQuantizer, LaplaceQuantizer

CODES, DIM, TOKENS = 24, 4, 10


def latents(seed: int, batch: int = 6) -> Tensor:
    """(batch, DIM, TOKENS), few clusters: some codes will find no vectors."""
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(8, DIM, generator=torch.Generator().manual_seed(99))
    cluster = torch.randint(8, (batch, TOKENS), generator=generator)
    return (centres[cluster] + 0.3 * torch.randn(batch, TOKENS, DIM, generator=generator)).transpose(1, 2).contiguous()


class SlowQuantizer:
    """The same, code by code and vector by vector, in float64."""

    def __init__(self, restart: bool) -> None:
        self.codebook = np.zeros((0, DIM))
        self.restart = restart

    def step(self, z: Tensor) -> tuple[np.ndarray, float, float]:
        vectors = np.array([row for sample in z.double().numpy() for row in sample.T])
        if len(self.codebook) == 0:
            self.codebook = vectors[:CODES].copy()
            self.sums, self.counts = self.codebook.copy(), np.ones(CODES)
        codebook = self.codebook.copy()
        nearest = np.array([int(np.argmin([np.sum((v - code) ** 2) for code in codebook])) for v in vectors])
        for k in range(CODES):
            chosen = vectors[nearest == k]
            self.counts[k] = 0.99 * self.counts[k] + 0.01 * len(chosen)
            self.sums[k] = 0.99 * self.sums[k] + 0.01 * chosen.sum(0)
            if self.counts[k] >= 1:
                self.codebook[k] = self.sums[k] / self.counts[k]
            else:
                self.codebook[k] = vectors[k]
                if self.restart:
                    self.counts[k], self.sums[k] = 1, vectors[k]
        share = np.bincount(nearest, minlength=CODES) / len(nearest)
        entropy = -sum(p * np.log(p) for p in share if p > 0)
        return nearest, float(np.mean((vectors - codebook[nearest]) ** 2)), float(np.exp(entropy))


@pytest.mark.parametrize("restart", [False, True])
def test_training_steps_agree_with_the_slow_reference(restart: bool) -> None:
    quantizer, slow = EmaQuantizer(CODES, DIM, restart=restart).train(), SlowQuantizer(restart)
    replaced = 0
    for seed in range(8):
        z = latents(seed)
        quantized = quantizer(z)
        indices, commitment, perplexity = slow.step(z)
        np.testing.assert_array_equal(quantized.indices.flatten().numpy(), indices)
        assert quantized.commitment.item() == pytest.approx(commitment, rel=1e-5)
        assert quantized.perplexity.item() == pytest.approx(perplexity, rel=1e-4)
        np.testing.assert_allclose(quantizer.codebook.numpy(), slow.codebook, atol=1e-5)
        np.testing.assert_allclose(quantizer.code_count.numpy(), slow.counts, atol=1e-5)
        replaced += int(np.isclose(slow.codebook, z.transpose(1, 2).flatten(0, 1)[:CODES].numpy()).all(-1).sum())
    assert replaced > 5  # the reset was exercised


def test_codebook_starts_as_the_first_vectors() -> None:
    z = latents(0)
    quantizer = EmaQuantizer(CODES, DIM, reset_below=0.0).train()
    first = z.transpose(1, 2).flatten(0, 1)[:CODES]
    quantized = quantizer(z)
    torch.testing.assert_close(quantized.z.transpose(1, 2).flatten(0, 1)[:CODES], first)  # they are codes themselves


def test_few_vectors_are_repeated_with_noise() -> None:
    quantizer = EmaQuantizer(CODES, DIM, reset_below=0.0).train()
    z = latents(0, batch=1)  # 10 vectors for 24 codes
    start = quantizer._first_vectors(z.transpose(1, 2).flatten(0, 1))
    assert len(torch.unique(start, dim=0)) == CODES
    torch.testing.assert_close(start[10:20], start[:10], atol=0.05, rtol=0)


def test_straight_through_gradient_and_commitment() -> None:
    z = latents(0).requires_grad_()
    quantized = EmaQuantizer(CODES, DIM).eval()(z)
    weights = torch.randn_like(z)
    (quantized.z * weights).sum().backward()
    torch.testing.assert_close(z.grad, weights)
    z.grad = None
    quantized.commitment.backward()
    torch.testing.assert_close(z.grad, 2 * (z - quantized.z).detach() / z.numel())


def test_evaluation_leaves_the_codebook_alone() -> None:
    quantizer = EmaQuantizer(CODES, DIM).train()
    quantizer(latents(0))
    before = {key: value.clone() for key, value in quantizer.state_dict().items()}
    quantizer.eval()(latents(1))
    for key, value in quantizer.state_dict().items():
        torch.testing.assert_close(value, before[key])


def test_resumed_training_goes_on_as_if_never_stopped() -> None:
    straight = EmaQuantizer(CODES, DIM).train()
    for seed in range(2):
        straight(latents(seed))
    resumed = EmaQuantizer(CODES, DIM).train()
    resumed.load_state_dict(straight.state_dict())
    straight(latents(5))
    resumed(latents(5))
    torch.testing.assert_close(resumed.codebook, straight.codebook)


def test_half_precision_in_autocast_is_computed_in_float32() -> None:
    quantizer = EmaQuantizer(CODES, DIM).eval()
    z = latents(0).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        quantized = quantizer(z)
    assert quantized.z.dtype == torch.float32
    torch.testing.assert_close(quantized.indices, quantizer(z.float()).indices)


def test_perplexity_counts_codes() -> None:
    quantizer = EmaQuantizer(CODES, DIM)
    assert quantizer.perplexity(torch.arange(CODES)).item() == pytest.approx(CODES, rel=1e-4)
    assert quantizer.perplexity(torch.full((3, 5), 7)).item() == pytest.approx(1.0, rel=1e-4)


BATCHES = (6, 4, 2)  # 30, 20 and 10 vectors in each of two processes, for 24 codes


def _train_in_process(rank: int, world: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous{world}", rank=rank, world_size=world)
    found = {}
    for batch in BATCHES:
        torch.manual_seed(rank)  # the noise of repeated vectors must be the first process' everywhere
        quantizer = EmaQuantizer(CODES, DIM).train()
        steps = [quantizer(latents(seed, batch).chunk(world)[rank]).perplexity for seed in range(4)]
        found[batch] = {**quantizer.state_dict(), "perplexity": torch.stack(steps)}
    torch.save(found, f"{folder}/{rank}of{world}.pt")
    dist.destroy_process_group()


def test_two_processes_make_the_codebook_of_one(tmp_path: Path) -> None:
    for world in (1, 2):
        mp.start_processes(_train_in_process, args=(world, str(tmp_path)), nprocs=world)
    one = torch.load(tmp_path / "0of1.pt")
    for rank in range(2):
        two = torch.load(tmp_path / f"{rank}of2.pt")
        for batch in BATCHES:
            torch.testing.assert_close(two[batch], one[batch], atol=1e-4, rtol=1e-5)


def test_laplace_smoothing_agrees_with_the_slow_reference() -> None:
    quantizer = LaplaceQuantizer(CODES, DIM, decay=0.9, smoothing=1e-3).train()
    sums, counts = quantizer.code_sum.double().numpy().copy(), np.ones(CODES)
    for seed in range(4):
        z, codebook = latents(seed), quantizer.codebook.double().numpy().copy()
        nearest = quantizer(z).indices.flatten().numpy()
        vectors = z.double().transpose(1, 2).flatten(0, 1).numpy()
        np.testing.assert_array_equal(nearest, ((vectors[:, None] - codebook) ** 2).sum(-1).argmin(1))
        for k in range(CODES):
            counts[k] = 0.9 * counts[k] + 0.1 * (nearest == k).sum()
            sums[k] = 0.9 * sums[k] + 0.1 * vectors[nearest == k].sum(0)
        total = counts.sum()
        counts = (counts + 1e-3) / (total + CODES * 1e-3) * total
        np.testing.assert_allclose(quantizer.code_count.numpy(), counts, rtol=1e-5)
        np.testing.assert_allclose(quantizer.codebook.numpy(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_laplace_smoothing_keeps_codes_that_nobody_chooses() -> None:
    """They neither vanish nor fly away, and the counts' sum is that of the averages."""
    quantizer = LaplaceQuantizer(CODES, DIM, decay=0.5).train()
    z = quantizer.codebook[:1, :, None].expand(3, -1, TOKENS).clone()
    before = quantizer.codebook.clone()
    for _ in range(5):
        quantizer(z)
    torch.testing.assert_close(quantizer.codebook, before, rtol=0.01, atol=0.01)
    assert quantizer.code_count.sum().item() == pytest.approx(CODES * 0.5**5 + z[:, 0].numel() * (1 - 0.5**5), rel=1e-4)
