"""Identities that are heard in a word: a prompt's class word stands for the photos behind it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.core.errors import RecipeError
from ipseity.core.types import Cond

MOST_PLAIN = 30
"""However many steps there are, no more than this hear the words alone: as the released demonstration does."""


@dataclass(frozen=True)
class Worded:
    """One identity that a word can stand for."""

    token: str
    class_noun: str
    stacked: Float[Tensor, "N D"]
    """Tokens of its photos; the word takes as many places."""
    fuse: Callable[[Tensor, Tensor], Tensor]
    scale: float = 1.0
    """1 is what the checkpoint makes of it; below, the word itself is heard more."""
    merge_after: float = 0.2
    """Share of the steps that hear the words alone."""
    last_plain: int | None = None
    """Index of the last such step; unset means by the share."""

    def plain_until(self, steps: int) -> int:
        """Give the index of the last step that hears words alone; the last step of all never does."""
        wanted = min(int(self.merge_after * steps), MOST_PLAIN) if self.last_plain is None else self.last_plain
        last = wanted if self.last_plain is not None or self.merge_after > 0 else -1
        return min(last, steps - 2)


@dataclass(frozen=True)
class Sentence:
    """A prompt without tokens, and where in it the identities' class words end."""

    text: str
    words: tuple[tuple[int, Worded], ...]
    """(index behind the word's last letter, whose word it is), from left to right."""


def read_sentence(prompt: str, identities: Sequence[Worded]) -> Sentence:
    """Take the tokens out of a prompt; where no class word follows one, it takes the token's place.

    Raises:
        RecipeError: a token stands there twice.
    """
    found: list[tuple[int, int, Worded]] = []
    for one in identities:
        places = list(re.finditer(rf"(?<!\w){re.escape(one.token)}(?!\w)", prompt, re.IGNORECASE))
        if len(places) > 1:
            raise RecipeError(
                f"the prompt '{prompt}' names '{one.token}' {len(places)} times",
                "once: its photos take the place of one word",
                "name the others by the class noun alone, or by he, she or it",
            )
        found += [(place.start(), place.end(), one) for place in places]
    text, words, left = "", list[tuple[int, Worded]](), 0
    for start, end, one in sorted(found, key=lambda place: place[0]):
        follows = re.match(rf"\s*({re.escape(one.class_noun)})(?!\w)", prompt[end:], re.IGNORECASE)
        text += prompt[left:start] + (follows.group(1) if follows else one.class_noun)
        left = end + (follows.end() if follows else 0)
        words.append((len(text), one))
    return Sentence(text + prompt[left:], tuple(words))


class Wording:
    """Encodes sentences with their identities inside, by a base's own text encoders.

    Args:
        base: of the SDXL layout.
        identities: each with a token of its own.
    """

    def __init__(self, base: Any, identities: Sequence[Worded]) -> None:
        self._base, self._identities, self._plainly = base, tuple(identities), base.encode_text

    def read(self, prompts: Sequence[str]) -> list[Sentence]:
        """Take the tokens out of prompts."""
        return [read_sentence(prompt, self._identities) for prompt in prompts]

    def encode_text(self, prompts: Sequence[str]) -> Cond:
        """Encode prompts as the base does, and those that name an identity with it inside."""
        rows = [
            self._encode(sentence) if sentence.words else self._plainly([prompt])
            for prompt, sentence in zip(prompts, self.read(prompts), strict=True)
        ]
        return Cond.cat(rows)

    def _encode(self, sentence: Sentence) -> Cond:
        heard, pooled, mask = [], None, torch.zeros(0)
        for name, tokenizer in self._base.tokenizers().items():
            numbers, mask = _expanded(sentence, tokenizer)
            encoder = self._base.parts()[name]
            said = encoder(torch.tensor([numbers], device=encoder.device), output_hidden_states=True)
            heard.append(said.hidden_states[-2])
            pooled = said[0]
        text = torch.cat(heard, dim=-1).clone()
        for number, (_, one) in enumerate(sentence.words, start=1):
            inside = (mask == number).to(text.device)
            words, stacked = text[0, inside].float(), one.stacked.to(text.device).float()
            fused = one.fuse(words, stacked)
            text[0, inside] = (fused if one.scale == 1 else torch.lerp(words, fused, one.scale)).to(text.dtype)
        return Cond(text=text, pooled=pooled)

    def plain_until(self, sentences: Sequence[Sentence], steps: int) -> int:
        """Give the last step that hears words alone, over all who are named."""
        return max(one.plain_until(steps) for sentence in sentences for _, one in sentence.words)


class WordedPipeline:
    """A pipeline that draws whom its prompts name; what else it is asked, it passes on.

    Args:
        stock: what draws.
        wording: who can be named.
    """

    def __init__(self, stock: Any, wording: Wording) -> None:
        self._stock, self._wording = stock, wording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)

    @torch.no_grad()
    def __call__(self, prompt: str | list[str] | None = None, **asked: Any) -> Any:
        """Draw: the arguments of the pipeline itself, all but the prompt by name.

        Raises:
            RecipeError: a prompt names an identity twice, or there is a second prompt beside one that names it.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt or [])
        sentences = self._wording.read(prompts)
        if not any(sentence.words for sentence in sentences):
            return self._stock(prompt=prompt, **asked)
        if asked.get("prompt_2") is not None:
            raise RecipeError("prompt_2 is set", "one prompt for both text encoders", "leave prompt_2 out")
        named = self._wording.encode_text(prompts)
        text, _, pooled, _ = self._stock.encode_prompt(
            [sentence.text for sentence in sentences], num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        plain = Cond(text=text, pooled=pooled)
        steps = asked.get("num_inference_steps", 50)
        shown = asked.get("image") is not None
        last = self._wording.plain_until(sentences, max(int(steps * asked.get("strength", 1.0)), 1) if shown else steps)
        first = plain if last >= 0 else named
        if last >= 0:
            asked |= _switching(named, last, asked)
        return self._stock(prompt_embeds=first.text, pooled_prompt_embeds=first.pooled, **asked)


@contextmanager
def texts_by(base: Any, encode_text: Callable[[Sequence[str]], Cond]) -> Iterator[None]:
    """Let a base encode texts in another way for the length of a block."""
    own = vars(base).get("encode_text")
    base.encode_text = encode_text
    try:
        yield
    finally:
        del base.encode_text
        if own is not None:
            base.encode_text = own


def _switching(named: Cond, last: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Arrange for the identity to be heard from the step after `last`, by the pipeline's own callback."""
    theirs = asked.get("callback_on_step_end")
    wanted = asked.get("callback_on_step_end_tensor_inputs", ["latents"])

    def step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if index == last:
            guided = pipeline.do_classifier_free_guidance
            for name, rows in (("prompt_embeds", named.text), ("add_text_embeds", named.pooled)):
                tensors[name] = _second_half(tensors[name], rows, guided=guided)
        return tensors if theirs is None else theirs(pipeline, index, timestep, tensors)

    names = list(dict.fromkeys([*wanted, "prompt_embeds", "add_text_embeds"]))
    return {"callback_on_step_end": step, "callback_on_step_end_tensor_inputs": names}


def _second_half(told: Tensor, rows: Any, *, guided: bool) -> Tensor:
    """Put other rows in place of the guided ones; each prompt's pictures follow one another."""
    kept = told[: len(told) // 2] if guided else told[:0]
    count = (len(told) - len(kept)) // len(rows)
    return torch.cat([kept, rows.to(told).repeat_interleave(count, dim=0)])


def _expanded(sentence: Sentence, tokenizer: Any) -> tuple[list[int], Tensor]:
    """Give a sentence's token numbers with each class word repeated for its photos, and whose each place is (0: nobody's)."""
    numbers = list(tokenizer(sentence.text).input_ids)
    owners = [0] * len(numbers)
    longest = tokenizer.model_max_length
    for number, (end, one) in reversed(list(enumerate(sentence.words, start=1))):
        at, count = len(tokenizer(sentence.text[:end]).input_ids) - 2, len(one.stacked)
        numbers = [*numbers[:at], *[numbers[at]] * count, *numbers[at + 1 :]]
        owners = [*owners[:at], *[number] * count, *owners[at + 1 :]]
    if any(owners[longest - 1 :]):
        raise RecipeError(
            f"the photos do not fit into the prompt '{sentence.text}' of {len(numbers)} places",
            f"all of them within the first {longest - 1}",
            "name the subject earlier in the prompt, or use fewer photos",
        )
    if len(numbers) > longest:  # the sentence still ends where it is cut
        numbers, owners = [*numbers[: longest - 1], numbers[-1]], owners[:longest]
    lacking = longest - len(numbers)
    return numbers + [tokenizer.pad_token_id] * lacking, torch.tensor(owners + [0] * lacking)
