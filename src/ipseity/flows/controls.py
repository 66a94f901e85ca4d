"""Controls of a benchmark: what the untrained base draws, and the subject's own cut-out laid over it."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from PIL import Image as Pillow
from PIL.Image import Image

from ipseity.core.drawing import DrawOptions
from ipseity.core.events import Event
from ipseity.core.files import sha256_of, sha256_of_file
from ipseity.core.image import cover
from ipseity.core.rng import Rng
from ipseity.core.types import Photo, Request
from ipseity.data.synthesis import artist, draw_once, picture_key
from ipseity.evaluation.truthboard import PASTED, UNTRAINED
from ipseity.flows.cases import BenchWish, Case
from ipseity.flows.contestants import Studio, wished_recipe
from ipseity.flows.generate import write_picture
from ipseity.flows.shots import Shooting, Shot, read_shot

FORMAT = "ipseity.bench.pasted.1"


def add_controls(shooting: Shooting, wish: BenchWish, studio: Studio) -> Generator[Event, None, Shooting]:
    """Add two pictures a prompt: the untrained base's, and that one with a training photo's cut-out over it.

    The base and the sampler are those of who draws the subject; of pictures made elsewhere, the recipe's.

    Raises:
        WeightsError: the base's weights cannot be used.
        RunError: a picture cannot be written, or one that is kept is broken.
    """
    recipe = shooting.contestant.recipe if shooting.contestant else wished_recipe(wish)
    untrained = yield from _draw_untrained(shooting.case, wish, base=studio.base(recipe), options=recipe.draw)
    pasted = [_paste(shot, _cut_from(shooting.case, shot.index), wish.out) for shot in untrained]
    return replace(shooting, shots=(*shooting.shots, *untrained, *(shot for shot in pasted if shot)))


def lay_over(photo: Photo, background: Image) -> Image:
    """Lay a photo's subject over a picture, where and as large as it stands in the photo.

    Args:
        photo: with a mask.
        background: RGB; the photo is brought to its size.
    """
    assert photo.mask is not None, "nothing says where the subject is"
    size = (background.height, background.width)
    return Pillow.composite(cover(photo.image, size), background, cover(photo.mask.convert("L"), size))


def _draw_untrained(
    case: Case, wish: BenchWish, *, base: object, options: DrawOptions
) -> Generator[Event, None, list[Shot]]:
    """Draw the prompts without the token; these are the pictures that leakage is measured from, where it is measured."""
    noun, rng = case.subject.class_noun, Rng(wish.seed or 0, ("bench",))
    seeds = [rng.fork("class", noun, prompt.index).integer(2**32) for prompt in case.prompts]
    requests = [Request(prompt.meaning(noun), seed) for prompt, seed in zip(case.prompts, seeds, strict=True)]
    yield from draw_once(base, requests, wish.out, options, what=UNTRAINED)
    keys = [picture_key(artist(base), request, options) for request in requests]
    return [
        Shot(_place(wish.out / "pictures", key), UNTRAINED, prompt.index, request.prompt, request.prompt, request.seed)
        for key, prompt, request in zip(keys, case.prompts, requests, strict=True)
    ]


def _cut_from(case: Case, index: int) -> Photo | None:
    """Choose a photo that may train, another one for each prompt."""
    masked = [photo for photo in case.train if photo.mask is not None]
    return masked[index % len(masked)] if masked else None


def _paste(shot: Shot, photo: Photo | None, out: Path) -> Shot | None:
    if photo is None:
        return None
    path = _place(out / "pasted", sha256_of([FORMAT, sha256_of_file(shot.path), photo.sha256])[:32])
    if not path.is_file():
        facts = {"pasted": photo.path.name, "over": shot.path.name, "prompt": shot.words, "seed": shot.seed}
        write_picture(path, lay_over(photo, read_shot(shot.path)), facts, None)
    return replace(shot, path=path, prompts=PASTED)


def _place(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.png"
