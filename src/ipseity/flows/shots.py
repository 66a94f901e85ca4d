"""The pictures of a benchmark: which are wanted, which are there already, and drawing those that are missing."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ipseity.core.drawing import DrawOptions, draw, pipeline_for
from ipseity.core.errors import RunError, SubjectError
from ipseity.core.events import Event, Progressed
from ipseity.core.files import sha256_of
from ipseity.core.identity import Attachment, Identity
from ipseity.core.registry import find
from ipseity.core.rng import Rng
from ipseity.core.types import Request
from ipseity.data.photos import list_photos, read_photo
from ipseity.data.synthesis import artist, picture_key
from ipseity.evaluation.dreambench import Prompt
from ipseity.evaluation.scoreboard import CLASS_WORD
from ipseity.flows.cases import BenchWish, Case
from ipseity.flows.contestants import Contestant
from ipseity.flows.generate import write_picture


@dataclass(frozen=True)
class Shot:
    """One picture, drawn or to be drawn."""

    path: Path
    prompts: str
    """The kind of its prompt, or `CLASS_WORD`."""
    index: int
    """The prompt's place in the list of its subject."""
    meaning: str
    """What it is held against."""
    words: str = ""
    """What it is drawn from."""
    seed: int | None = None
    """None where it was made elsewhere."""
    before: Path | None = None
    """The untrained base's picture from the same words and seed."""


@dataclass(frozen=True)
class Shooting:
    """A subject's pictures, and who draws them."""

    case: Case
    shots: tuple[Shot, ...]
    contestant: Contestant | None = None
    """None where the pictures were made elsewhere."""


def plan_shots(case: Case, contestant: Contestant, base: Any, wish: BenchWish) -> Shooting:
    """List a subject's pictures, each at the place that its identity, words, seed and sampler give it.

    Beside the prompts of the list stand pictures of the class word alone, one a recontextualization prompt, by the tuned
    and by the untrained base; the latter are shared by all subjects of a class.
    """
    noun, token = case.subject.class_noun, contestant.identity.token
    bare = artist(base)
    tuned = sha256_of([bare, contestant.sha256])
    rng = Rng(wish.seed or 0, ("bench",))

    def place(made_by: str, words: str, seed: int) -> Path:
        key = picture_key(made_by, Request(words, seed), contestant.recipe.draw)
        return wish.out / "pictures" / key[:2] / f"{key}.png"

    def shot(prompt: Prompt, number: int) -> Shot:
        words, seed = prompt.words(token, noun), rng.fork(case.name, prompt.index, number).integer(2**32)
        return Shot(place(tuned, words, seed), prompt.kind, prompt.index, prompt.meaning(noun), words, seed)

    def class_shot(prompt: Prompt) -> Shot:
        words, seed = prompt.meaning(noun), rng.fork("class", noun, prompt.index).integer(2**32)
        before = place(bare, words, seed)
        return Shot(place(tuned, words, seed), CLASS_WORD, prompt.index, words, words, seed, before)

    shots = [shot(prompt, number) for prompt in case.prompts for number in range(wish.images_per_prompt)]
    shots += [class_shot(prompt) for prompt in case.prompts if prompt.kind == "recontextualization"]
    return Shooting(case, tuple(shots), contestant)


def draw_missing(shooting: Shooting, base: Any, *, done: int, total: int) -> Generator[Event, None, int]:
    """Draw the pictures that are not there, a batch at a time; each is whole or not there.

    Args:
        shooting: what is wanted.
        base: the base, with nothing attached.
        done: pictures of the whole benchmark that are there before this subject, for the telling.
        total: pictures of the whole benchmark.

    Returns:
        Pictures that are there after it.
    """
    contestant = shooting.contestant
    assert contestant is not None, "pictures made elsewhere are not drawn"
    bare = [replace(shot, path=shot.before) for shot in shooting.shots if shot.before]
    identity = contestant.identity
    tuned = find("methods", identity.method).attach(base, [Attachment(identity)])
    for wanted, attached, context in ((bare, None, nullcontext()), (shooting.shots, identity, tuned)):
        missing = list({shot.path: shot for shot in wanted if not shot.path.is_file()}.values())
        done += len(wanted) - len(missing)
        yield Progressed("pictures", done, total)
        if missing:
            with context:
                for count in _drawn(base, missing, contestant.recipe.draw, attached):
                    done += count
                    yield Progressed("pictures", done, total)
    return done


def find_shots(wish: BenchWish, cases: Sequence[Case]) -> tuple[list[Shooting], list[str]]:
    """Find pictures made elsewhere: SUBJECT/INDEX/*.png, where INDEX is the prompt's place in the published list, from 0.

    Returns:
        What is there, and a sentence for each subject or prompt that lacks pictures.

    Raises:
        RunError: the folder is not there.
        SubjectError: a picture's folder cannot be listed.
    """
    folder = wish.images
    assert folder is not None, "no folder of pictures was named"
    if not folder.is_dir():
        raise RunError(f"{folder} is not there", "a folder SUBJECT/PROMPT-INDEX/*.png", "name the one that holds them")
    found, notes = [], []
    for case in cases:
        shots = [shot for prompt in case.prompts for shot in _made(folder, case, prompt, wish.images_per_prompt)]
        counts = {prompt.index: sum(shot.index == prompt.index for shot in shots) for prompt in case.prompts}
        few = [index for index, count in counts.items() if count < wish.images_per_prompt]
        if shots and few:
            notes.append(f"{case.name}: fewer than {wish.images_per_prompt} pictures of prompts {_places(few)}.")
        if shots:
            found.append(Shooting(case, tuple(shots)))
        else:
            notes.append(f"{case.name} has no pictures in {folder.name} and is left out.")
    return found, notes


def read_shot(path: Path) -> Image:
    """Read a picture.

    Raises:
        RunError: it is gone or broken.
    """
    try:
        return read_photo(path).photo.image
    except SubjectError as error:
        raise RunError(error.found, "a whole picture", f"remove {path} and repeat the command") from error


def _made(folder: Path, case: Case, prompt: Prompt, most: int) -> Iterator[Shot]:
    places = (folder / case.name / name for name in (str(prompt.index), f"{prompt.index:02d}"))
    place = next((path for path in places if path.is_dir()), None)
    for path in list_photos(place)[:most] if place else ():
        yield Shot(path, prompt.kind, prompt.index, prompt.meaning(case.subject.class_noun))


def _drawn(base: Any, missing: Sequence[Shot], options: DrawOptions, identity: Identity | None) -> Iterator[int]:
    """Draw and write pictures, giving the number of each batch."""
    pending = iter(missing)
    for images in draw(
        pipeline_for(base, options), [shot.words for shot in missing], [shot.seed or 0 for shot in missing], options
    ):
        for image in images:
            shot = next(pending)
            facts: Mapping[str, Any] = {"prompt": shot.words, "seed": shot.seed, **options.model_dump(mode="json")}
            write_picture(shot.path, image, facts, identity)
        yield len(images)


def _places(indices: Sequence[int]) -> str:
    """Write 0, 1, 2, 5 as "0-2, 5"."""
    runs = [list(run) for _, run in groupby(enumerate(sorted(indices)), lambda pair: pair[1] - pair[0])]
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ends)
