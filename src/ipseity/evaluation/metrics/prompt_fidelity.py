"""How well an image shows what the prompt says: cosine of image and prompt (arXiv:2104.08718, without its scaling)."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from ipseity.core.protocols import Encoder, Metric
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import embed, embed_text


class PromptFidelity:
    """How well the pictures show what their prompts say."""

    title: ClassVar[str] = "Prompt fidelity"
    unit: ClassVar[str] = "cosine"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"image", "text"})

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Give each image's cosine with its prompt, in which the class noun stands for the token.

        Returns:
            Values in [-1, 1].

        Source:
            arXiv:2208.12242, section 4.1 (CLIP-T).
        """
        return (embed(gallery.images, encoder) * embed_text(gallery.prompts, encoder)).sum(1)


PLUGIN: type[Metric] = PromptFidelity
