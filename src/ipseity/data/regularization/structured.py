"""A rich regularization set in the format of the training captions, after He et al. (arXiv:2311.04315, section 3).

Part A mirrors the training captions without the token; part B keeps the format and varies its slots. Shares, phrases
and counts are ours: the paper's are not published.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from PIL.Image import Image
from pydantic import Field

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Regularization
from ipseity.core.rng import Rng
from ipseity.core.types import Example, Request, Subject
from ipseity.data.filters import FilterOptions
from ipseity.data.grammar import CLOSE_UP, Caption, with_crop, without_token
from ipseity.data.phrases import Phrases, phrases_for

_VARIED = ("quality", "size", "shape", "colour", "texture", "motion", "background")


class StructuredSetOptions(Options):
    """How many pictures, and what they vary."""

    use: Literal["structured"] = "structured"
    """Captions of the training format, with varied slots."""
    images: int = Field(200, ge=1)
    """Pictures in the set (the paper has about 2000)."""
    share_a: float = Field(0.2, ge=0, le=1)
    """Share of part A, which mirrors the training captions; the rest varies slots."""
    slot_dropout: float = Field(0.3, ge=0, lt=1)
    """Chance of each slot to stay unspoken in part B."""
    style_share: float = Field(0.3, ge=0, le=1)
    """Share of part B in a style of the bank; the rest are plain photos."""
    sibling_share: float | None = Field(None, ge=0, le=1)
    """Share of part B that shows neighboring classes; unset means half for living things, else none."""
    bank: str = "auto"
    """Phrases: "auto" (by the class noun), "toybox" (what the built-in base knows), or the path of a JSON file."""
    crop_words: bool = True
    """Say "close-up" of tight crops, as the training captions do."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides phrases and pictures. It is not the recipe's, so that all runs of a class share part B."""


class StructuredOptions(FilterOptions, StructuredSetOptions):
    """What is drawn, and what of it is left out."""


class Structured:
    """Shows the class, and what is around it, in as many ways as its captions can say."""

    Options: ClassVar[type[AnyOptions]] = StructuredOptions

    @staticmethod
    def plan(
        subject: Subject, examples: Sequence[Example], options: StructuredSetOptions, rng: Rng
    ) -> tuple[Request, ...]:
        """Ask for part A and part B; a larger count keeps all that a smaller one asks for.

        Raises:
            RecipeError: there is no such phrase bank.
        """
        chance = Rng(options.seed, ("structured",))
        num_mirrored = round(options.images * options.share_a)
        mirrored = _mirror(subject, examples, num_mirrored, chance.fork("A"))
        return (*mirrored, *_vary(subject, options, options.images - len(mirrored), chance.fork("B")))

    @staticmethod
    def gather(images: Sequence[tuple[Request, Image]], options: StructuredOptions) -> tuple[Example, ...]:
        """Show each picture under the words that made it, and tight crops of it with the crop word."""
        return tuple(_shown(made, image, options.crop_words) for made, image in images)


def _mirror(subject: Subject, examples: Sequence[Example], count: int, rng: Rng) -> list[Request]:
    """Take the training captions in turn, all full ones first, then their variants, without the token."""
    deepest = max((len(example.captions) for example in examples), default=0)
    texts = [
        example.captions[depth] for depth in range(deepest) for example in examples if depth < len(example.captions)
    ]
    prompts = list(dict.fromkeys(without_token(text, subject.token) for text in texts))
    if not prompts:
        return []
    return [_request(prompts[index % len(prompts)], rng.fork(index // len(prompts))) for index in range(count)]


def _vary(subject: Subject, options: StructuredSetOptions, count: int, rng: Rng) -> list[Request]:
    """Fill the slots from the bank, each phrase once before any comes again, and drop some."""
    bank = phrases_for(subject.class_noun, living=subject.living, bank=options.bank)
    return [
        _request(str(_filled(subject, bank, options, rng.fork(index), rng)), rng.fork("seed", index))
        for index in range(count)
    ]


def _filled(subject: Subject, bank: Phrases, options: StructuredSetOptions, chance: Rng, rng: Rng) -> Caption:
    index = chance.path[-1]
    assert isinstance(index, int)
    words = {
        slot: _in_turn(getattr(bank, slot), index, rng.fork(slot))
        for slot in _VARIED
        if getattr(bank, slot) and _drawn(chance.fork(slot)) >= options.slot_dropout
    }
    if bank.style and _drawn(chance.fork("styled")) < options.style_share:
        words["style"] = _in_turn(bank.style, index, rng.fork("style"))
    share = options.sibling_share if options.sibling_share is not None else 0.5 * subject.living
    is_sibling = bool(bank.siblings) and _drawn(chance.fork("sibling")) < share
    noun = _in_turn(bank.siblings, index, rng.fork("noun")) if is_sibling else subject.class_noun
    return Caption(noun=noun, **words)


def _in_turn(phrases: Sequence[str], index: int, rng: Rng) -> str:
    """Give the phrase whose turn it is: the bank is shuffled anew each time it has been gone through."""
    round_, place = divmod(index, len(phrases))
    return phrases[rng.fork(round_).permutation(len(phrases))[place]]


def _drawn(rng: Rng) -> float:
    return rng.integer(1_000_000) / 1_000_000


def _request(prompt: str, rng: Rng) -> Request:
    return Request(prompt, rng.fork(prompt).integer(2**31))


def _shown(made: Request, image: Image, crop_words: bool) -> Example:
    words = {CLOSE_UP: with_crop((made.prompt,))} if crop_words else {}
    return Example(
        image, (made.prompt,), is_subject=False, crop_words=words, name=f"'{made.prompt}' at seed {made.seed}"
    )


PLUGIN: type[Regularization] = Structured
