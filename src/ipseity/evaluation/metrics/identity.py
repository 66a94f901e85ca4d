"""How much an image is of the subject: mean cosine with all reference photos (arXiv:2208.12242, section 4.1)."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from ipseity.core.protocols import Encoder, Metric
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import embed


class IdentityScore:
    """How alike the pictures and the subject's photos are, over the whole frame."""

    title: ClassVar[str] = "Identity"
    unit: ClassVar[str] = "cosine"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"image"})

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Average each image's cosine with the reference photos.

        Returns:
            Values in [-1, 1]; None without references.

        Source:
            arXiv:2208.12242, section 4.1 (DINO and CLIP-I are this with the encoder of that name).
        """
        if not references.images:
            return None
        return (embed(gallery.images, encoder) @ embed(references.images, encoder).T).mean(1)


PLUGIN: type[Metric] = IdentityScore
