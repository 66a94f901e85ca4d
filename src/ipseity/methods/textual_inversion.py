"""A word of its own for the subject: only the vectors of a new token are learned (arXiv:2208.01618)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ipseity.core.identity import Attachment, Identity
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import ExportForm, Method
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Subject
from ipseity.methods.parts import export
from ipseity.methods.parts.denoising import DenoisingOptions
from ipseity.methods.parts.detaching import Place, beneath
from ipseity.methods.parts.learner import DenoisingLearner, denoiser, mismatch, text_encoders, training, unfit
from ipseity.methods.parts.tokens import SLOTS, TokenTable, meaning, token_known

SLACK = 1e-5
"""A vector shortened once must not be shortened again by rounding, or resuming would change it."""


class TextualInversionOptions(DenoisingOptions):
    """How the word is learned."""

    use: Literal["textual_inversion"] = "textual_inversion"
    """A new token."""
    num_vectors: int = Field(2, ge=1, le=32)
    """Vectors that the token stands for, in each text encoder; each takes a place of the prompt's 75."""
    initializer: str | None = Field(None, min_length=1)
    """Word or phrase whose meaning the token starts with; unset means the class noun."""
    norm_limit: float | None = Field(None, gt=0)
    """Longest a vector may grow, as a multiple of the mean length of the base's own; unset leaves it free."""


class TextualInversionLearner(DenoisingLearner):
    """Learns the vectors of one token."""

    method = "textual_inversion"

    def __init__(self, base: Any, subject: Subject, *, words: Sequence[Place], **more: Any) -> None:
        super().__init__(base, subject, **more)
        self._words = words
        self._first = {slot: rows.detach().clone() for slot, rows in self._named.items()}

    @cached_property
    def originals(self) -> Sequence[Place]:
        """The tables without the token's rows, and the words that the tokenizers knew."""
        return [*beneath(text_encoders(self.base).values(), TokenTable, "table"), *self._words]

    def drift(self) -> Float[Tensor, ""]:
        """Give the squared distance of the vectors from the initializer's meaning, as a share of its own length."""
        gone = torch.stack([(rows - self._first[slot]).square().sum() for slot, rows in self._named.items()]).sum()
        return gone / sum(float(first.square().sum()) for first in self._first.values())

    def loss(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give squared errors per sample, by name; texts are encoded anew."""
        self._shorten()
        return super().loss(batch, rng)

    def identity(self) -> Identity:
        """Give a copy of what was learned so far."""
        self._shorten()
        return super().identity()

    @torch.no_grad()
    def _shorten(self) -> None:
        limit = self.options.norm_limit
        if limit is None:
            return
        slots = {slot: name for name, slot in SLOTS.items()}
        for slot, rows in self._named.items():
            table = self.base.parts()[slots[slot]].get_input_embeddings().table
            longest = limit * table.weight.float().norm(dim=1).mean()
            length = rows.norm(dim=1, keepdim=True)
            rows.copy_(torch.where(length > longest * (1 + SLACK), rows * (longest / length), rows))


class TextualInversion:
    """Learns a word and changes no weight of the base: tiny identities, least able to show what the base never saw."""

    Options: ClassVar[type[AnyOptions]] = TextualInversionOptions
    needs: ClassVar[frozenset[str]] = frozenset({"text", "token_table"})
    needs_encoders: ClassVar[frozenset[str]] = frozenset()
    exports: ClassVar[frozenset[str]] = frozenset({"diffusers"})

    @staticmethod
    def begin(
        base: Any, subject: Subject, encoders: Mapping[str, Any], options: TextualInversionOptions
    ) -> TextualInversionLearner:
        """Teach a base the subject's token, with the meaning of the class noun to begin with.

        Raises:
            RecipeError: the token cannot be told from words that the base knows.
        """
        told = options.model_copy(update={"initializer": options.initializer or subject.class_noun})
        rows = {name: nn.Parameter(_first_rows(base, name, told)) for name in text_encoders(base)}
        with ExitStack() as undo:
            undo.enter_context(training([base.parts()[denoiser(base)]]))
            words = undo.enter_context(token_known(base, subject.token, rows))
            named = {SLOTS[name]: value for name, value in rows.items()}
            return TextualInversionLearner(
                base, subject, options=told, parameters=named, undo=undo.pop_all(), trains_text=True, words=words
            )

    @staticmethod
    @contextmanager
    def attach(base: Any, attachments: Sequence[Attachment]) -> Iterator[Any]:
        """Teach a base the tokens of identities for the length of a block.

        A scale other than 1 lies on the line from the initializer's meaning to the learned one; at 0 the token stays
        unknown.

        Raises:
            RecipeError: two identities bear the same token, or one that the base knows.
            CapabilityError: an identity belongs to another base and does not fit.
        """
        with ExitStack() as undo:
            for one in attachments:
                if one.scale != 0:
                    undo.enter_context(token_known(base, one.identity.token, _rows(base, one)))
            yield base

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]:
        """Write `learned_embeds.safetensors`; `load_textual_inversion` wants one call for each encoder's key."""
        return [export.write_tokens(identity.tensors, identity.token, folder)]


def _first_rows(base: Any, encoder: str, told: TextualInversionOptions) -> Tensor:
    assert told.initializer is not None, "options must be resolved"
    return meaning(base, encoder, told.initializer).repeat(told.num_vectors, 1)


def _rows(base: Any, one: Attachment) -> dict[str, nn.Parameter]:
    told, tensors = TextualInversionOptions(**one.identity.options), one.identity.tensors
    first = {SLOTS[name]: _first_rows(base, name, told) for name in text_encoders(base)}
    if problem := mismatch(first, tensors):
        raise unfit(one.identity, base, problem)
    rows = {}
    for name in text_encoders(base):
        learned = tensors[SLOTS[name]].to(base.device).float()
        scaled = learned if one.scale == 1 else torch.lerp(first[SLOTS[name]], learned, one.scale)
        rows[name] = nn.Parameter(scaled, requires_grad=False)
    return rows


PLUGIN: type[Method] = TextualInversion
