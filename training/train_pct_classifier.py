"""Train PCT's classifier: a picture -> the tokens of its 2D pose (Geng et al. 2023, section 3.2); PostoMETRO, stage 2.

    python -m training.train_pct_classifier --config configs/train_pct_classifier_small.yaml
    python -m training.train_pct_classifier --config configs/train_pct_classifier_paper.yaml --train.devices 8

Needs the tokenizer (training.train_pct_tokenizer), which stays as it is. The same command goes on where it was stopped.
Then ``python -m training.train_postometro``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.backbones import BackboneConfig, make_backbone
from mocap.models.pct import MixerSizes, PctConfig
from mocap.models.postometro_network import PctNetwork
from training.harness import Share, TrainConfig, train, unwrapped
from training.options import run
from training.published.backbones import BackboneSizes, channels_last, start
from training.published.pct import PctAugmentation, PctData, PctNetworks, load_tokenizer
from training.published.postometro import pct_classifier_losses
from training.published.sets import SetsConfig


@dataclass(frozen=True)
class ClassifierSizes:
    """Of the classifier; the defaults are the released ones."""

    channels: int = option(256, "of its convolutions", "N", low=1)
    conv_blocks: int = option(2, "two convolutions each", "N", low=0)
    dilation: int = option(1, "of these convolutions", "N", low=1)
    layers: int = option(4, "mixer layers", "N", low=1)
    width: int = option(64, "entries of a token", "N", low=1)
    hidden: int = option(256, "hidden units within a token", "N", low=1)
    token_hidden: int = option(64, "hidden units across the tokens", "N", low=1)


@dataclass(frozen=True)
class PctClassifierRun:
    """A training run of PCT's classifier."""

    tokenizer: str = option("out/pct_tokenizer", "run of training.train_pct_tokenizer", "DIR")
    margin: float = option(1.0, "side of the crop over that of the data set's box", low=0.1)
    beta: float = option(0.05, "px below which errors of places are squared", low=0)
    learn_backbone: bool = option(True, "the backbone learns too; off, as released: it stays as --backbone.weights")
    network: ClassifierSizes = field(default_factory=ClassifierSizes)
    backbone: BackboneSizes = field(default_factory=BackboneSizes)
    sets: SetsConfig = field(default_factory=SetsConfig)
    augmentation: PctAugmentation = field(default_factory=PctAugmentation)
    train: TrainConfig = field(default_factory=TrainConfig)


class PctClassifierTask:
    """PCT's classifier as :class:`training.harness.Task`.

    Raises:
        MocapError: there is no tokenizer, or it is guided by features of another size.
    """

    best = "error_px"

    def __init__(self, config: PctClassifierRun) -> None:
        self.config, train, sizes = config, config.train, config.network
        self.guided, given = load_tokenizer(config.tokenizer)
        backbone = config.backbone.config()
        if given.backbone is not None and given.backbone.features != backbone.features:
            raise MocapError(
                f"expected a backbone with the {given.backbone.features} channels that guide the tokenizer, "
                f"found one with {backbone.features}"
            )
        self.frozen = config.backbone.kind == "blazepose" or not config.learn_backbone
        if not (config.learn_backbone or config.backbone.weights):
            raise MocapError("expected weights of the backbone that does not learn (--backbone.weights), found none")
        pct = classifier_config(sizes, given, backbone)
        self.networks = PctNetworks(pct, backbone, given.side)
        self.data = PctData(
            config.sets, given.side, config.margin, config.augmentation, train.batch_size, train.seed, True
        )

    def model(self) -> nn.Module:
        backbone = make_backbone(self.config.backbone.config())
        start(backbone, self.config.backbone.weights)
        model = PctNetwork(self.networks.config, backbone)
        model.head.tokenizer.load_state_dict(self.guided.tokenizer.state_dict())
        model.head.tokenizer.requires_grad_(False)
        backbone.requires_grad_(not self.frozen)
        return channels_last(model)

    def count(self) -> int:
        return len(self.data.people)

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        plain, batch = unwrapped(model), self.data.batches(share)
        assert isinstance(plain, PctNetwork)
        plain.head.tokenizer.eval()  # drops no joints, and its codebook stays
        if self.frozen:
            plain.backbone.eval()
        poses = self.data.poses(batch)
        tokens = self._tokens(batch["image"], poses)
        found = model(batch["image"])
        points = plain.head.tokenizer.decode(found.embeddings)
        terms = pct_classifier_losses(found.logits, points, tokens, poses, self.config.beta)
        return {"loss": terms.pop("total"), **terms}

    @torch.no_grad()
    def _tokens(self, picture: Tensor, poses: Tensor) -> Tensor:
        """Of the true poses."""
        guided = self.guided.to(picture.device)
        tokens: Tensor = guided.tokenizer.encode(poses, guided.features(picture, poses))
        return tokens

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Mean error of the joints, px, and the share of tokens that are right."""
        assert isinstance(model, PctNetwork)
        right = list[Tensor]()

        def find(picture: Tensor, poses: Tensor) -> Tensor:
            found = model(picture)
            right.append((found.logits.argmax(-1) == self._tokens(picture, poses)).float().mean(1))
            return model.head.tokenizer.decode(found.embeddings)

        error_px = self.data.error_px(find, next(model.parameters()).device)
        return {"error_px": error_px, "right_tokens": float(torch.cat(right).mean())}

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "PCT's classifier: a picture -> the tokens of its 2D pose",
            "network": self.networks.network("pct_classifier"),
            "sets": self.config.sets.sets,
            "tokenizer": self.config.tokenizer,
        }


def classifier_config(sizes: ClassifierSizes, tokenizer: PctNetworks, backbone: BackboneConfig) -> PctConfig:
    """Of the whole of PCT: with a tokenizer as it was trained."""
    return replace(
        tokenizer.config,
        image_channels=backbone.features,
        cells=(tokenizer.side // backbone.stride) ** 2,
        channels=sizes.channels,
        conv_blocks=sizes.conv_blocks,
        dilation=sizes.dilation,
        classifier=MixerSizes(sizes.layers, sizes.width, sizes.hidden, sizes.token_hidden),
    )


def main() -> int:
    """Command line."""
    return run(PctClassifierRun, __doc__ or "", lambda config: train(config.train, PctClassifierTask(config)))


if __name__ == "__main__":
    sys.exit(main())
