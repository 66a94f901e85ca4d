"""What was learned or computed of a subject, ready to be attached: one safetensors file that explains itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.files import write_tensors

FORMAT = "ipseity.identity.1"


@dataclass(frozen=True)
class Identity:
    """Tensors and the facts that say what they are."""

    tensors: Mapping[str, Tensor]
    base: str
    """Name of the base it belongs to."""
    base_fingerprint: str
    """Hash of that base's weights; attaching to others is told."""
    method: str
    token: str
    class_noun: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """The method's options, as plain data."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Recipe, recipe hash, step, scores, licence: whatever else shall travel with the file."""

    def save(self, path: Path) -> Path:
        """Write the file in one move; facts go into its header as JSON strings."""
        header = {
            "format": FORMAT,
            "base": self.base,
            "base_fingerprint": self.base_fingerprint,
            "method": self.method,
            "token": self.token,
            "class_noun": self.class_noun,
            "options": json.dumps(dict(self.options), default=str),
            "facts": json.dumps(dict(self.facts), default=str),
        }
        write_tensors(path, self.tensors, header)
        return path

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """Read an identity file.

        Raises:
            WeightsError: it is no safetensors file, or not one of ours.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{path} cannot be read ({error})",
                "an identity that ipseity saved",
                "name the run's identity.safetensors",
            ) from error
        if header.get("format") != FORMAT:
            raise WeightsError(
                f"{path} is a safetensors file of another kind",
                f"a header with format={FORMAT}",
                "name the run's identity.safetensors",
            )
        words = {key: header[key] for key in ("base", "base_fingerprint", "method", "token", "class_noun")}
        return cls(tensors, **words, options=json.loads(header["options"]), facts=json.loads(header["facts"]))


@dataclass(frozen=True)
class Attachment:
    """An identity with the options it is attached with."""

    identity: Identity
    scale: float = 1.0
    """Strength, 0 or more; 0 leaves the base as it is."""


@dataclass(frozen=True)
class Sitting(Attachment):
    """An identity with the place that it has in the picture; without one it stands where it stood in the photo."""

    points: Any = None
    """Five rows (x, y) in pixels of a picture of `size`: where the face shall be."""
    size: tuple[int, int] | None = None
    """(height, width) of the picture that `points` belong to; it is fitted into what is drawn."""
    region: Image | None = None
    """L, white where this identity may act; two identities need one each."""
