"""Train PCT's tokenizer: 2D poses of COCO's 17 joints <-> tokens (Geng et al. 2023, section 3.1); PostoMETRO, stage 1.

    python -m training.train_pct_tokenizer --config configs/train_pct_tokenizer_small.yaml
    python -m training.train_pct_tokenizer --config configs/train_pct_tokenizer_paper.yaml --train.devices 8

Poses come from data sets with pictures, which are read only if they guide the tokenizer. The same command goes on where
it was stopped. Then ``python -m training.train_pct_classifier``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.pct import MixerSizes, PctConfig
from training.harness import Share, TrainConfig, train
from training.options import run
from training.published.backbones import BackboneSizes, start
from training.published.pct import GuidedTokenizer, PctAugmentation, PctData, PctNetworks
from training.published.postometro import pct_tokenizer_losses
from training.published.sets import SetsConfig


@dataclass(frozen=True)
class TokenizerSizes:
    """Of the tokenizer; the defaults are the released ones without guidance."""

    tokens: int = option(34, "tokens of a pose, M", "M", low=1)
    codes: int = option(2048, "entries of the codebook, K", "K", low=1)
    code_dim: int = option(512, "length of an entry, D", "D", low=1)
    decay: float = option(0.9, "of the codebook's moving averages", low=0, high=1)
    drop: float = option(0.2, "share of the joints that the encoder does not see in training", low=0, high=1)
    layers: int = option(4, "mixer layers of the encoder", "N", low=1)
    width: int = option(512, "entries of a joint in the encoder", "N", low=1)
    hidden: int = option(512, "hidden units of the encoder, within a joint", "N", low=1)
    decoder_layers: int = option(1, "mixer layers of the decoder", "N", low=1)
    decoder_width: int = option(32, "entries of a joint in the decoder", "N", low=1)
    decoder_hidden: int = option(64, "hidden units of the decoder, within a joint", "N", low=1)
    token_hidden: int = option(64, "hidden units of both, across the joints", "N", low=1)
    guide_ratio: float = option(
        0.0, "share of a joint's feature that comes from the picture, released 0.5; it wants --guide.weights", low=0,
        high=1,
    )  # fmt: skip

    def config(self, channels: int) -> PctConfig:
        """With a guide of so many channels."""
        return PctConfig(
            tokens=self.tokens,
            codes=self.codes,
            code_dim=self.code_dim,
            decay=self.decay,
            encoder=MixerSizes(self.layers, self.width, self.hidden, self.token_hidden),
            decoder=MixerSizes(self.decoder_layers, self.decoder_width, self.decoder_hidden, self.token_hidden),
            drop=self.drop,
            guide_ratio=self.guide_ratio,
            image_channels=channels,
        )


@dataclass(frozen=True)
class PctTokenizerRun:
    """A training run of PCT's tokenizer."""

    side: int = option(256, "px of the square crop, in which places are", "PX", low=32)
    margin: float = option(1.0, "side of the crop over that of the data set's box", low=0.1)
    commitment: float = option(15.0, "weight of the latents' distance to their codes", low=0)
    beta: float = option(0.05, "px below which errors of places are squared", low=0)
    network: TokenizerSizes = field(default_factory=TokenizerSizes)
    guide: BackboneSizes = field(default_factory=BackboneSizes)
    sets: SetsConfig = field(default_factory=SetsConfig)
    augmentation: PctAugmentation = field(default_factory=PctAugmentation)
    train: TrainConfig = field(default_factory=TrainConfig)


class PctTokenizerTask:
    """PCT's tokenizer as :class:`training.harness.Task`.

    Raises:
        MocapError: the tokenizer is guided, but not by weights that know what a person is.
    """

    best = "error_px"

    def __init__(self, config: PctTokenizerRun) -> None:
        self.config, train = config, config.train
        guided = config.network.guide_ratio > 0
        if guided and not config.guide.weights:
            raise MocapError(
                "expected weights of the backbone that guides PCT's tokenizer (--guide.weights), found none; "
                "--network.guide_ratio 0 goes without it"
            )
        backbone = config.guide.config()
        pct = config.network.config(backbone.features)
        self.networks = PctNetworks(pct, backbone if guided else None, config.side)
        self.data = PctData(
            config.sets, config.side, config.margin, config.augmentation, train.batch_size, train.seed, guided
        )

    def model(self) -> nn.Module:
        model = GuidedTokenizer(self.networks)
        if model.guide is not None:
            start(model.guide, self.config.guide.weights)
        return model

    def count(self) -> int:
        return len(self.data.people)

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        batch = self.data.batches(share)
        poses = self.data.poses(batch)
        terms = pct_tokenizer_losses(model(batch["image"], poses), poses, self.config.commitment, self.config.beta)
        return {"loss": terms.pop("total"), **terms}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Mean error of the joints, px, and how many codes are used."""
        assert isinstance(model, GuidedTokenizer)
        device, used = next(model.parameters()).device, set[int]()

        def find(picture: Tensor, poses: Tensor) -> Tensor:
            found = model(picture, poses)
            used.update(found.indices.flatten().tolist())
            joints: Tensor = found.joints
            return joints

        error_px = self.data.error_px(find, device)
        return {"error_px": error_px, "codes_used": float(len(used))}

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "PCT's tokenizer: 2D poses of COCO's 17 joints, px <-> tokens",
            "network": self.networks.network("pct_tokenizer"),
            "sets": self.config.sets.sets,
        }


def main() -> int:
    """Command line."""
    return run(PctTokenizerRun, __doc__ or "", lambda config: train(config.train, PctTokenizerTask(config)))


if __name__ == "__main__":
    sys.exit(main())
