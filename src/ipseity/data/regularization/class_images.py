"""DreamBooth's regularization: the frozen base's own pictures of the plain class (arXiv:2208.12242, section 3.3)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from PIL.Image import Image
from pydantic import AfterValidator, Field

from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Regularization
from ipseity.core.rng import Rng
from ipseity.core.types import Example, Request, Subject
from ipseity.core.words import counted
from ipseity.data.filters import FilterOptions


def _braced(template: str) -> str:
    left = template.replace("{class}", "").replace("{class_noun}", "")
    if "{" in left or "}" in left:
        raise ValueError('a sentence with {class} ("a backpack") or {class_noun} ("backpack"), and no other braces')
    return template


class ClassImagesOptions(FilterOptions):
    """How many pictures of what sentence, and what of them is left out."""

    use: Literal["class_images"] = "class_images"
    """One sentence of the class, many seeds."""
    images: int = Field(200, ge=1)
    """Pictures in the set."""
    prompt: Annotated[str, AfterValidator(_braced)] = "a photo of {class}"
    """What is drawn; {class} becomes "a backpack", {class_noun} the bare noun."""
    seed: int = Field(0, ge=0, lt=2**31)
    """First seed of the pictures. It is not the recipe's, so that all runs of a class share one set."""


class ClassImages:
    """Shows the class beside the subject, always under the same words."""

    Options: ClassVar[type[AnyOptions]] = ClassImagesOptions

    @staticmethod
    def plan(
        subject: Subject, examples: Sequence[Example], options: ClassImagesOptions, rng: Rng
    ) -> tuple[Request, ...]:
        """Ask for one sentence at many seeds; more pictures keep those that are there."""
        prompt = options.prompt.replace("{class}", counted(subject.class_noun, subject.class_noun))
        prompt = prompt.replace("{class_noun}", subject.class_noun)
        return tuple(
            Request(prompt, Rng(options.seed, ("class_images", index)).integer(2**31))
            for index in range(options.images)
        )

    @staticmethod
    def gather(images: Sequence[tuple[Request, Image]], options: ClassImagesOptions) -> tuple[Example, ...]:
        """Show each picture under the words that made it."""
        return tuple(
            Example(image, (made.prompt,), is_subject=False, name=f"'{made.prompt}' at seed {made.seed}")
            for made, image in images
        )


PLUGIN: type[Regularization] = ClassImages
