"""Encoders that are read from a folder in the transformers layout: published ones, and those that come with the package."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch

from ipseity.core.options import Options as AnyOptions
from ipseity.vision.parts.folder import EncoderOptions, absent, bundled, read_encoder
from ipseity.vision.parts.seeing import Seeing


class Published(Seeing):
    """An encoder made of what `read_encoder` gives: model, folder and licence."""

    Options: ClassVar[type[AnyOptions]]
    licence: str
    makers: ClassVar[Mapping[str, str]]
    """`model_type` of a config.json -> transformers class, for each kind that is understood."""

    def __init__(self, model: Any, folder: Any, licence: str) -> None:
        raise NotImplementedError

    @classmethod
    def missing(cls) -> str | None:
        """Say that the default weights are not here, or None."""
        return absent(cls.Options().weights)  # type: ignore[attr-defined] # its options are EncoderOptions

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the encoder.

        Args:
            options: where it is.
            device: where it shall live.

        Raises:
            WeightsError: it is not here, cannot be trusted, or is of another kind.
        """
        return cls(*read_encoder(cls.makers, options, device))


class Bundled(Published):
    """Put before a published encoder: the same, from the package's own folder of that name."""

    @classmethod
    def missing(cls) -> str | None:
        """Give None: it comes with the package."""
        return None

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the bundled encoder.

        Args:
            options: nothing to choose.
            device: where it shall live.
        """
        loaded = super().load(EncoderOptions(weights=bundled(cls.name)), device)
        loaded.licence = "Apache-2.0"
        return loaded
