"""How far the plain class word drifted towards the subject: same seeds, before and after (PRES, arXiv:2208.12242)."""

from dataclasses import replace
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from ipseity.core.protocols import Encoder, Metric
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.identity import IdentityScore


class Leakage:
    """How much more the plain class word, without the token, looks like the subject than before.

    Near 0 the rest of the class is untouched; when it rises, every member of the class begins to look like the subject.
    """

    title: ClassVar[str] = "Leakage"
    unit: ClassVar[str] = "cosine gained"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    needs: ClassVar[frozenset[str]] = frozenset({"image"})

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Subtract the likeness to the subject before from that after, image by image.

        Means something only for a gallery drawn from prompts *without* the token.

        Returns:
            Values in [-2, 2]; None without the bare base's pictures or without references.

        Source:
            arXiv:2208.12242, section 4.3 (PRES), as a difference at equal seeds instead of a level.
        """
        if not gallery.before or not references.images:
            return None
        after = IdentityScore.score(gallery, references, encoder)
        before = IdentityScore.score(replace(gallery, images=gallery.before), references, encoder)
        return None if after is None or before is None else after - before


PLUGIN: type[Metric] = Leakage
