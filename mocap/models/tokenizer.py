"""The pose tokenizer: TokenHMR's VQ-VAE over the 21 body joints (section 4.3), in any size and two layouts.

A pose is 21 rotation matrices (B, 21, 3, 3), parent from joint, SMPL's joints 1 to 21 (no pelvis, no hands). Inside it
is a sequence of 21 joints with 6 channels: the first two **rows** of each matrix, the published system's convention.
Convolutions run along the sequence. Tokens are indices (B, M) into a codebook of K codes with D entries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.body.torch_rotations import matrix_to_rows6d, rows6d_to_matrix
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.quantizer import EmaQuantizer
from mocap.models.tokenizer_networks import JointDecoder, JointEncoder, SequenceDecoder, SequenceEncoder
from mocap.models.weights import load_weights, read_weights, write_weights


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes; the defaults are TokenHMR's.

    Raises:
        MocapError: the encoder cannot reach that number of tokens.
    """

    tokens: int = option(160, "tokens of a pose, M", "M", low=1)
    codes: int = option(2048, "entries of the codebook, K", "K", low=1)
    code_dim: int = option(256, "length of an entry, D", "D", low=1)
    width: int = option(512, "channels of all inner convolutions", "N", low=1)
    depth: int = option(2, "blocks of a residual stack, their dilations falling to 1", "N", low=1)
    dilation: int = option(3, "ratio of the dilations of successive blocks", "N", low=1)
    upsamples: int = option(
        4, "of the encoder, each twice as long as the one before, the last tokens * 2^downsamples", "N", low=1
    )
    downsamples: int = option(
        1, "of the encoder, by convolutions of stride 2; the decoder has as many residual stacks", "N", low=1
    )
    decoder_stages: int = option(4, "steps from the tokens down to the joints", "N", low=1)
    joints: int = option(21, "joints of a pose", "N", low=1)
    per_joint: bool = option(
        False, "tokens belong to joints, as many to each, and nothing is resampled; else TokenHMR's sequence"
    )
    stacks: int = option(1, "per joint: residual stacks of the encoder, and of the decoder", "N", low=1)
    # How the codebook learns, which is no size: tokenizers that differ in it alone can load each other's weights.
    decay: float = option(0.99, "of the codebook's moving averages", "0…1", low=0, high=1, compare=False)
    reset_below: float = option(1.0, "a code chosen by fewer vectors a batch is replaced", "N", low=0, compare=False)
    restart: bool = option(False, "a replaced code's averages start again too (TokenHMR's do not)", compare=False)

    def __post_init__(self) -> None:
        wrong = [f.name for f in fields(self) if f.type == "int" and getattr(self, f.name) < 1]
        if wrong:
            raise MocapError(f"Tokenizer: expected sizes of at least 1, found {', '.join(wrong)} below it")
        if self.per_joint:
            if self.tokens % self.joints:
                raise MocapError(
                    f"Tokenizer: expected tokens per joint, a multiple of its {self.joints} joints, found {self.tokens}"
                )
            return
        longest, halvings = self.tokens * 2**self.downsamples, 2 ** (self.upsamples - 1)
        if longest % halvings:
            raise MocapError(
                f"Tokenizer: expected tokens * 2^downsamples divisible by 2^(upsamples - 1) = {halvings}, found "
                f"{longest}; take fewer upsamples or another number of tokens"
            )

    @property
    def encoder_lengths(self) -> list[int]:
        """Length of the sequence after each upsampling of the encoder."""
        longest = self.tokens * 2**self.downsamples
        return [longest // 2**stage for stage in reversed(range(self.upsamples))]

    @property
    def decoder_lengths(self) -> list[int]:
        """Length of the sequence after each stage of the decoder, the last as long as the joints."""
        lengths = np.linspace(self.joints, self.tokens, self.decoder_stages, endpoint=False)
        return [int(length) for length in lengths[::-1]]

    def __str__(self) -> str:
        stages = f"stages {self.upsamples}/{self.downsamples}/{self.decoder_stages}"
        if self.per_joint:
            stages = f"per joint, stacks {self.stacks}"
        residual = f"depth {self.depth}, dilation {self.dilation}"
        codebook = f"codebook {self.codes} × {self.code_dim}"
        return f"{self.tokens} tokens, {codebook}, width {self.width}, {residual}, {stages}, {self.joints} joints"


PAPER = TokenizerConfig()


class Reconstruction(NamedTuple):
    """A pose after encoding, quantising and decoding."""

    R: Tensor  # (B, 21, 3, 3)
    latent: Tensor  # (B, D, M) before quantising
    indices: Tensor  # (B, M)
    commitment: Tensor  # ()
    perplexity: Tensor  # ()


class PoseTokenizer(nn.Module):
    """Encoder, codebook and decoder. The codebook moves in training mode only; freeze it with ``eval()``."""

    def __init__(self, config: TokenizerConfig = PAPER) -> None:
        super().__init__()
        self.config = config
        self.encoder = JointEncoder(config) if config.per_joint else SequenceEncoder(config)
        self.quantizer = EmaQuantizer(
            config.codes, config.code_dim, config.decay, config.reset_below, restart=config.restart
        )
        self.decoder = JointDecoder(config) if config.per_joint else SequenceDecoder(config)

    def forward(self, R: Tensor) -> Reconstruction:
        """Poses (B, 21, 3, 3) -> their reconstruction."""
        latent = self.latent(R)
        quantized = self.quantizer(latent)
        R = rows6d_to_matrix(self.decoder(quantized.z).transpose(1, 2).float())
        return Reconstruction(R, latent, quantized.indices, quantized.commitment, quantized.perplexity)

    def latent(self, R: Tensor) -> Tensor:
        """Poses (B, 21, 3, 3) -> latents (B, D, M)."""
        return self.encoder(matrix_to_rows6d(R).transpose(1, 2))

    def encode(self, R: Tensor) -> Tensor:
        """Poses (B, 21, 3, 3) -> tokens (B, M) int64."""
        latent = self.latent(R).float()
        return self.quantizer.nearest(latent.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(R), -1))

    def decode_tokens(self, indices: Tensor) -> Tensor:
        """Tokens (B, M) -> poses (B, 21, 3, 3)."""
        return rows6d_to_matrix(self.decode_6d(F.embedding(indices, self.quantizer.codebook)))

    def decode_logits(self, logits: Tensor) -> Tensor:
        """Logits (B, M, K) -> poses (B, 21, 3, 3), differentiable."""
        return rows6d_to_matrix(self.decode_6d(self.mix(logits)))

    def mix(self, logits: Tensor) -> Tensor:
        """Logits (B, M, K) -> embeddings (B, M, D), ``softmax(Q) CB`` (Eq. 7)."""
        return logits.softmax(-1) @ self.quantizer.codebook

    def decode_6d(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, M, D) -> the joints' first two rows as the network gives them (B, 21, 6), not orthonormal."""
        return self.decoder(embeddings.transpose(1, 2)).transpose(1, 2)

    def weights(self) -> dict[str, Tensor]:
        """Everything but the state of the codebook's moving averages: what has to be kept to use the tokenizer."""
        return {key: value for key, value in self.state_dict().items() if key not in _TRAINING_STATE}

    def load(self, weights: Mapping[str, Tensor], source: str) -> None:
        """Takes over what :meth:`weights` gives; the moving averages start from the codebook.

        Raises:
            MocapError: tensors are missing, unknown or of another size (says both sizes).
        """
        own = self.state_dict()
        load_weights(self, {**{key: own[key] for key in _TRAINING_STATE}, **weights}, source)
        self.quantizer.set_codebook(self.quantizer.codebook.clone())


_TRAINING_STATE = ("quantizer.code_sum", "quantizer.code_count", "quantizer.initialised")


def save_tokenizer(tokenizer: PoseTokenizer, path: Path, notes: Mapping[str, Any], half: bool = False) -> None:
    """Writes ``path`` (.npz with the sizes inside, float16 with ``half``) and beside it a .json with ``notes``."""
    config = asdict(tokenizer.config)
    write_weights(path, config, tokenizer.weights(), half)
    sidecar = json.dumps({**notes, "config": config}, indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(sidecar + "\n", encoding="utf-8")


def load_tokenizer(path: Path, expected: TokenizerConfig | None = None) -> PoseTokenizer:
    """Reads what :func:`save_tokenizer` wrote; on the CPU, in float32, in evaluation mode.

    Args:
        expected: The sizes that the caller is made for.

    Raises:
        MocapError: the file is missing or unreadable, or the tokenizer has other sizes than expected (says both).
    """
    sizes, weights = read_weights(path, "a tokenizer")
    try:
        config = TokenizerConfig(**sizes)
    except TypeError as error:
        raise MocapError(f"{path}: expected a tokenizer's sizes, found {sizes} ({error})") from error
    if expected is not None and expected != config:
        raise MocapError(f"{path}: expected a tokenizer of {expected}, found one of {config}")
    tokenizer = PoseTokenizer(config)
    tokenizer.load(weights, str(path))
    return tokenizer.eval()
