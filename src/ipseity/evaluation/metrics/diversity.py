"""How much images of one prompt differ from each other (after DIV of arXiv:2208.12242, with cosine for LPIPS)."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.core.protocols import Encoder, Metric
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import embed


class Diversity:
    """How much pictures of the same prompt differ from each other; near 0 all are the same picture."""

    title: ClassVar[str] = "Diversity"
    unit: ClassVar[str] = "1 - cosine"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"image"})

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Average each image's cosine distance to the other images of its prompt.

        Returns:
            Values in [0, 2], NaN for an image alone with its prompt; None where all are alone.

        Source:
            arXiv:2208.12242, table 3 (DIV), which takes LPIPS for the distance.
        """
        number = {prompt: index for index, prompt in enumerate(dict.fromkeys(gallery.prompts))}
        prompts = torch.tensor([number[prompt] for prompt in gallery.prompts])
        others = (prompts[:, None] == prompts[None, :]) & ~torch.eye(len(prompts), dtype=torch.bool)
        if not others.any():
            return None
        embedded = embed(gallery.images, encoder)
        distances = (1 - embedded @ embedded.T).clamp(min=0)
        return (distances * others).sum(1) / others.sum(1)


PLUGIN: type[Metric] = Diversity
