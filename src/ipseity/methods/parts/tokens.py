"""Words of one's own: tokens that are new to a base's tokenizers, with vectors that are new to its text encoders."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ipseity.core.errors import RecipeError
from ipseity.methods.parts.detaching import Place

SLOTS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
"""Text encoder -> the name that files of token vectors give it."""


class TokenTable(nn.Module):
    """A text encoder's table with rows of one's own behind it; the table itself is untouched.

    Args:
        table: the encoder's table, or another one of these.
        rows: the new vectors, one a token.
        first: id of the first new token; the others follow.
    """

    def __init__(self, table: nn.Module, rows: nn.Parameter, first: int) -> None:
        super().__init__()
        self.table, self.rows, self.first = table, rows, first

    @property
    def weight(self) -> Tensor:
        """The table with the new rows, as libraries that look at it expect."""
        known: Any = self.table.weight
        return torch.cat([known, self.rows.to(known.dtype)])

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Look tokens up."""
        own = (ids >= self.first) & (ids < self.first + len(self.rows))
        known = self.table(ids.masked_fill(own, 0))
        learned = self.rows[(ids - self.first).masked_fill(~own, 0)].to(known.dtype)
        return torch.where(own[..., None], learned, known)


def words_for(token: str, count: int) -> list[str]:
    """Spell a token of several vectors as diffusers does: `<mug> <mug>_1 <mug>_2`."""
    return [token, *(f"{token}_{number}" for number in range(1, count))]


def meaning(base: Any, encoder: str, phrase: str) -> Float[Tensor, "D"]:
    """Give the middle of the vectors that a phrase is made of in an encoder's table, in fp32.

    Raises:
        RecipeError: the phrase is empty.
    """
    ids = base.tokenizers()[encoder](phrase, add_special_tokens=False).input_ids
    if not ids:
        needed = "a word that the base knows, such as the class noun"
        raise RecipeError("method.initializer is empty", needed, "leave it out for the class noun")
    table = base.parts()[encoder].get_input_embeddings()
    with torch.no_grad():
        return table(torch.tensor([ids], device=base.device))[0].float().mean(0)


@contextmanager
def token_known(base: Any, token: str, rows: Mapping[str, nn.Parameter]) -> Iterator[list[Place]]:
    """Teach a base a token for the length of a block; prompts that hold it then work in every stock pipeline.

    Tokenizers and tables are put back as they were, the very objects.

    Args:
        base: the base.
        token: its spelling in prompts; with several vectors the stock pipelines that can load tokens write it out by
            themselves, and for the others (SD3's) the tokenizers do.
        rows: text encoder -> its vectors.

    Yields:
        Where the tokenizers hold their words, with the words as they were.

    Raises:
        RecipeError: the token cannot be told from words that the base knows.
    """
    written_out = hasattr(base.pipeline("text"), "maybe_convert_prompt")
    kept = {name: (base.tokenizers()[name]._tokenizer, base.parts()[name].get_input_embeddings()) for name in rows}
    try:
        for name, vectors in rows.items():
            first = _add_words(base.tokenizers()[name], token, len(vectors), write_out=not written_out)
            encoder = base.parts()[name]
            encoder.set_input_embeddings(TokenTable(encoder.get_input_embeddings(), vectors, first))
        yield [(base.tokenizers()[name], "_tokenizer", backend) for name, (backend, _) in kept.items()]
    finally:
        for name, (backend, table) in kept.items():
            base.tokenizers()[name]._tokenizer = backend
            base.parts()[name].set_input_embeddings(table)


def _add_words(tokenizer: Any, token: str, count: int, *, write_out: bool) -> int:
    """Add words to a copy of the tokenizer's backend and give the first one's id.

    Words are matched whole, so that the token "sks" does not cut "asks" in two. A token that the tokenizer itself writes
    out as `<mug>_0 <mug>_1` is no word: it would be read, once more, where it is written out.
    """
    from tokenizers import Tokenizer
    from transformers import AddedToken

    numbered = write_out and count > 1
    words = [f"{token}_{number}" for number in range(count)] if numbered else words_for(token, count)
    vocabulary = tokenizer.get_vocab()
    if taken := [word for word in (token, *words) if word in vocabulary]:
        raise _taken(taken[0])
    if token != token.lower() or len(token.split()) != 1:
        raise RecipeError(
            f"subject.token is '{token}'",
            "one word without capital letters: tokenizers read all letters as small ones",
            f"set subject.token = '{'-'.join(token.lower().split())}'",
        )
    tokenizer._tokenizer = Tokenizer.from_str(tokenizer._tokenizer.to_str())
    if numbered:
        _write_out(tokenizer._tokenizer, token, words)
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in words])
    ids = tokenizer.convert_tokens_to_ids(words)
    assert ids == list(range(ids[0], ids[0] + count)), f"the tokenizer numbered {words} as {ids}"
    return ids[0]


def _write_out(backend: Any, token: str, words: list[str]) -> None:
    """Let a tokenizer's backend put words in a token's place before it reads."""
    from tokenizers import Regex
    from tokenizers.normalizers import Replace, Sequence

    own = Replace(Regex(rf"(?<!\w){re.escape(token)}(?!\w)"), " ".join(words))
    backend.normalizer = Sequence([*([backend.normalizer] if backend.normalizer else []), own])


def _taken(word: str) -> RecipeError:
    return RecipeError(
        f"'{word}' is a token of the base already, or of another identity that is attached",
        "a token that is new to the base",
        f"set subject.token to another spelling, such as '<{word.strip('<>')}-1>', and train again",
    )
