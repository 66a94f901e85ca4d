"""One sentence for all photos, as DreamBooth has it: "a photo of sks backpack" (arXiv:2208.12242, section 3.2)."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Captioner
from ipseity.core.types import Example, Subject
from ipseity.core.words import counted


def _named(template: str) -> str:
    left = template.replace("{token}", "").replace("{class_noun}", "").replace("{subject}", "")
    if "{" in left or "}" in left:
        raise ValueError("a sentence with {subject}, or with {token} and {class_noun}, and no other braces")
    if "{token}" not in template and "{subject}" not in template:
        raise ValueError(
            "a sentence with {subject} or {token} in it, for without the token nothing is learned about it"
        )
    return template


class PlainOptions(Options):
    """The sentence."""

    use: Literal["plain"] = "plain"
    """One sentence for all photos."""
    template: Annotated[str, AfterValidator(_named)] = "a photo of {subject}"
    """What is said of each photo; {subject} becomes "a sks backpack", {token} and {class_noun} the single words."""


class Plain:
    """Says the same sentence of every photo."""

    Options: ClassVar[type[AnyOptions]] = PlainOptions

    @staticmethod
    def examples(subject: Subject, options: PlainOptions) -> tuple[Example, ...]:
        """Give each photo the one sentence."""
        words = {
            "{subject}": counted(subject.phrase, subject.class_noun),
            "{token}": subject.token,
            "{class_noun}": subject.class_noun,
        }
        caption = options.template
        for slot, word in words.items():
            caption = caption.replace(slot, word)
        return tuple(
            Example(photo.image, (caption,), is_subject=True, mask=photo.mask, name=photo.path.name)
            for photo in subject.photos
        )


PLUGIN: type[Captioner] = Plain
