"""Phrases for the slots of a class, asked of a language model and kept as they come, so that nothing is asked twice.

answers/<class>-<slot>-<hash>.json    what one question got, as it came; the hash is of all that decides the answer
"""

import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import Field, ValidationError

from ipseity.core.errors import RecipeError, Refusal, RunError
from ipseity.core.events import Event, Noticed, Progressed
from ipseity.core.files import read_json, sha256_of, write_json
from ipseity.core.options import Options
from ipseity.core.rng import Rng
from ipseity.data.answers import clean, distinct, read_answer
from ipseity.data.endpoint import Endpoint, EndpointOptions
from ipseity.data.phrases import Phrases, phrases_for
from ipseity.data.questions import Counts, Question, questions
from ipseity.data.speaker import LocalSpeaker

STAGE = "phrases"
"""What `Progressed` calls this work."""


class InquiryOptions(EndpointOptions):
    """Which model is asked for phrases, for how many, and how often.

    Source:
        arXiv:2311.04315 has its phrases from a language model, one inquiry a class; wording and counts are ours.
    """

    counts: Counts = Field(default_factory=lambda: Counts.model_validate({}))
    """Phrases wanted by slot."""
    at_once: int = Field(50, ge=1, le=400)
    """Phrases asked for in one question; small models lose the thread of long lists."""
    reasks: int = Field(4, ge=0, le=50)
    """How often a slot may be asked about beyond what its count needs, for phrases that came twice or do not fit."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the answers, where the model lets it."""


class Speaker(Protocol):
    """Something that answers a question."""

    notices: list[str]
    """What was unusual, in sentences; whoever tells them empties the list."""

    def say(self, question: str, *, num_asked: int, seed: int) -> str:
        """Answer a question that asks for so many phrases, in the model's own words."""
        ...


class Record(Options):
    """What a model said about one slot, as it came: to be cleaned anew each time it is read."""

    model: str
    class_noun: str
    slot: str
    living: bool
    count: int
    seed: int
    temperature: float
    question: str
    """The first question, in full; where it was asked does not count."""
    answers: tuple[tuple[str, ...], ...] = ()

    def path(self, folder: Path) -> Path:
        """Name its file by what decides the answers."""
        name = re.sub(r"[^a-z0-9]+", "-", self.class_noun.lower()).strip("-")[:40]
        facts = self.model_dump(mode="json", exclude={"answers"})
        return folder / f"{name}-{self.slot}-{sha256_of([facts])[:16]}.json"


def ask_phrases(
    class_noun: str, *, living: bool, options: InquiryOptions, folder: Path, held_out: Sequence[str] = ()
) -> Generator[Event, None, Phrases]:
    """Ask for the phrases of a class, slot by slot, and keep each answer before the next question.

    Broken off, it goes on where it was: what lies in the folder is not asked for again.

    Args:
        class_noun: what the subject is.
        living: whether it is a person or an animal.
        options: who is asked, and for how many.
        folder: where answers are kept; several classes and models may share it.
        held_out: what no phrase may say, such as the scenes of an evaluation, or a token.

    Returns:
        The bank: as many phrases as wanted where the model had them, fewer (said aloud) where it had not; shipped
        ones in slots of which none were wanted.

    Raises:
        RecipeError: the class noun is none, or the endpoint refuses the key, the model or the question.
        RunError: the endpoint is gone, its answers cannot be read, no phrase fits, or the folder cannot be written.
        WeightsError: the local model is not there or cannot be trusted.

    Source:
        arXiv:2311.04315: phrases come from a language model, asked once for a class.
    """
    noun = _checked(class_noun)
    asked = questions(noun, living=living, counts=options.counts)
    inquiry = _Inquiry(options, folder, held_out, [_kept(question, options, folder) for question in asked])
    total = sum(question.count for question in asked)
    found: dict[str, tuple[str, ...]] = {}
    yield Progressed(STAGE, inquiry.num_kept(asked), total)
    for place, question in enumerate(asked):
        for _ in inquiry.fill(place, question):
            yield from inquiry.noticed()
            yield Progressed(STAGE, inquiry.num_kept(asked), total)
        found[question.slot] = _enough(inquiry.phrases(place, question), question, options.model)
        if len(found[question.slot]) < question.count:
            yield _shortfall(len(found[question.slot]), question, options.model)
    return phrases_for(noun, living=living).model_copy(update=found)


def save_bank(phrases: Phrases, path: Path) -> None:
    """Write phrases as a JSON file that `bank` of the structured regularization may name.

    Raises:
        RunError: the place cannot be written.
    """
    write_json(path, phrases.model_dump(mode="json"))


class _Inquiry:
    """The questions of one class under way."""

    def __init__(
        self, options: InquiryOptions, folder: Path, held_out: Sequence[str], records: Sequence[Record]
    ) -> None:
        self._options, self._folder, self._held_out = options, folder, held_out
        self._records = list(records)
        self._speaker: Speaker | None = None

    def phrases(self, place: int, question: Question) -> tuple[str, ...]:
        """Give what fits of the answers to one question, in the order in which it came."""
        raws = (raw for answer in self._records[place].answers for raw in answer)
        return distinct((clean(raw, question) for raw in raws), apart_from=self._held_out)[: question.count]

    def num_kept(self, asked: Sequence[Question]) -> int:
        """Count what fits of all answers."""
        return sum(len(self.phrases(place, question)) for place, question in enumerate(asked))

    def fill(self, place: int, question: Question) -> Iterator[None]:
        """Ask until there are enough phrases or it was asked often enough; each answer lies on disk before the next."""
        options = self._options
        limit = -(-question.count // options.at_once) + options.reasks
        while len(known := self.phrases(place, question)) < question.count and (
            (turn := len(self._records[place].answers)) < limit
        ):
            missing = question.count - len(known)
            # a quarter more than is missing, for some will come twice or not fit
            num_asked = min(options.at_once, missing + -(-missing // 4))
            try:
                answer = self._answer(
                    question.text(num_asked, known), num_asked, Rng(options.seed, (question.slot, turn))
                )
            except Refusal as error:
                raise self._broken_off(error) from error
            grown = self._records[place].model_copy(update={"answers": (*self._records[place].answers, answer)})
            write_json(grown.path(self._folder), grown.model_dump(mode="json"))
            self._records[place] = grown
            yield

    def noticed(self) -> Iterator[Event]:
        """Tell what was unusual, once."""
        while self._speaker and self._speaker.notices:
            yield Noticed(self._speaker.notices.pop(0))

    def _answer(self, text: str, num_asked: int, rng: Rng) -> tuple[str, ...]:
        """Ask until the answer can be read; what cannot may differ under another seed."""
        speaker = self._speaker = self._speaker or _speaker(self._options)
        said = ""
        for attempt in range(self._options.retries + 1):
            said = speaker.say(text, num_asked=num_asked, seed=rng.fork(attempt).integer(2**31))
            try:
                return read_answer(said)
            except ValueError:
                continue
        shown = "".join(char if char.isprintable() else " " for char in said[:80]).strip()
        raise RunError(
            f"{self._options.model} answered {self._options.retries + 1} times with no list of phrases "
            f"({f'the last began with: {shown}' if shown else 'the last was empty'})",
            'an answer like {"phrases": ["on a wooden bench", "in a library"]}',
            "choose a model that was taught to follow instructions, or raise `max_tokens` if it thinks aloud",
        )

    def _broken_off(self, error: Refusal) -> Refusal:
        """Say of any end before the end what is kept."""
        count = sum(len(answer) for record in self._records for answer in record.answers)
        kept = (
            f"{count} phrases received so far are kept in {self._folder}; repeating the command goes on from there"
            if count
            else "no phrase was received yet"
        )
        return type(error)(error.found, error.needed, f"{error.todo.rstrip('.')}; {kept}")


def _speaker(options: InquiryOptions) -> Speaker:
    if options.endpoint is not None:
        return Endpoint(options)
    return LocalSpeaker(options.model, temperature=options.temperature, max_tokens=options.max_tokens)


def _kept(question: Question, options: InquiryOptions, folder: Path) -> Record:
    """Take up the record of a question, or begin it on disk, so that a folder that cannot be written costs no answer."""
    fresh = Record(
        model=options.model,
        class_noun=question.class_noun,
        slot=question.slot,
        living=question.living,
        count=question.count,
        seed=options.seed,
        temperature=options.temperature,
        question=question.text(min(options.at_once, question.count)),
    )
    path = fresh.path(folder)
    if not path.exists():
        write_json(path, fresh.model_dump(mode="json"))
        return fresh
    try:
        record = Record.model_validate(read_json(path))
        if record.path(folder) != path:
            raise ValueError("it belongs to another question")
    except (ValidationError, ValueError) as error:
        raise RunError(
            f"{path} does not hold the answers that its name says",
            "the file as it was written",
            "delete it, and repeat",
        ) from error
    return record


def _enough(phrases: tuple[str, ...], question: Question, model: str) -> tuple[str, ...]:
    if phrases:
        return phrases
    raise RunError(
        f"{model} gave no phrase that fits the slot '{question.slot}' of '{question.class_noun}'",
        f"at least one like: {question.text(1).splitlines()[1]}",
        f"raise `reasks`, choose a larger model, or keep the shipped phrases with counts.{question.slot} = 0",
    )


def _shortfall(num_found: int, question: Question, model: str) -> Noticed:
    return Noticed(
        f"{model} gave {num_found} of {question.count} phrases for {question.slot} that fit and differ; more `reasks`, "
        "another `seed` or a larger model may bring more."
    )


def _checked(class_noun: str) -> str:
    noun = " ".join(class_noun.split())
    if not noun or len(noun) > 60 or not re.search(r"\w", noun):
        raise RecipeError(
            f"the class noun is {class_noun!r:.80}", "what the subject is, such as dog or teapot", "name it"
        )
    return noun
