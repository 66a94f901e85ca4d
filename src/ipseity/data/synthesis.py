"""Pictures that the frozen base makes: kept by what made them, so that sets share them and none is made twice.

sets/pictures/<ab>/<hash>.png    one picture: hash of base, sampler, prompt, seed and drawing options; its words lie inside
sets/<hash>/manifest.json        one set: which pictures, in order; written last
"""

import inspect
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from ipseity.core.drawing import DrawOptions, draw, pipeline_for
from ipseity.core.errors import Failure, RunError
from ipseity.core.events import Event, Noticed, Progressed
from ipseity.core.files import read_json, sha256_of, write_json, writing
from ipseity.core.types import Request
from ipseity.data.doctor import is_flat

FORMAT = "ipseity.set.1"
MAX_FLAT_SHARE = 0.5
"""Of a set's pictures, how many may be one flat color before the base itself is doubted."""
_COMMAND = "make the missing ones with `ipseity synthesize RECIPE.toml`; what is there is kept"


def artist(base: Any) -> str:
    """Hash what turns a request into a picture: the base's weights, its sampler, and its few-step LoRA if it ships one."""
    few = getattr(base, "few_step", None)
    return sha256_of([base.fingerprint(), sampler_facts(base), *([few] if few else [])])


def sampler_facts(base: Any) -> dict[str, Any]:
    """Give the sampler's class, and its settings where they are not the library's own.

    Those that are stay out, so that a setting which a newer library adds does not void every picture.
    """
    scheduler = base.pipeline("text").scheduler
    usual = inspect.signature(type(scheduler).__init__).parameters
    changed = {
        key: value for key, value in scheduler.config.items() if key in usual and str(value) != str(usual[key].default)
    }
    return {"sampler": type(scheduler).__name__, **dict(sorted(changed.items()))}


def set_folder(root: Path, made_by: str, requests: Sequence[Request], options: DrawOptions) -> Path:
    """Name the folder of a set by what makes it. Nothing is written.

    Args:
        root: where all sets are kept.
        made_by: what `artist` gives for the base.
        requests: the pictures, in order.
        options: how they are drawn; the batch size does not count.
    """
    keys = [picture_key(made_by, request, options) for request in requests]
    return root / sha256_of([FORMAT, *keys])[:16]


def picture_key(made_by: str, request: Request, options: DrawOptions) -> str:
    """Hash what makes one picture."""
    return sha256_of(
        [
            FORMAT,
            made_by,
            request.prompt,
            request.seed,
            options.model_dump(mode="json", exclude={"batch_size"} if options.few_step else {"batch_size", "few_step"}),
        ]
    )[:32]


def synthesize(base: Any, requests: Sequence[Request], folder: Path, options: DrawOptions) -> Iterator[Event]:
    """Draw the pictures of a set that no set has yet, then write its manifest.

    Interrupted, it goes on where it was: each picture is whole or not there.

    Args:
        base: the base, with nothing attached.
        requests: the pictures, in order.
        folder: what `set_folder` named for the same requests.
        options: how they are drawn.

    Raises:
        Failure: most pictures are one flat color, so the base is broken.
        RunError: the disk is full or cannot be written.
    """
    made_by = artist(base)
    places = {request: _place(folder.parent, picture_key(made_by, request, options)) for request in requests}
    assert folder == set_folder(folder.parent, made_by, requests, options), "the folder belongs to other requests"
    missing = sum(not place.is_file() for place in places.values())
    if 0 < missing < len(places):
        done = len(places) - missing
        yield Noticed(f"{done} of {len(places)} regularization pictures are there already; {missing} are drawn.")
    yield from _fill(base, places, options, "synthesize")
    flat = [request for request, place in places.items() if _is_marked_flat(place)]
    if len(flat) > MAX_FLAT_SHARE * len(places):
        raise Failure(
            f"{len(flat)} of {len(places)} regularization pictures are one flat color. The base draws nothing: "
            "load it in fp32 or bf16, and check its weights."
        )
    if flat:
        yield Noticed(
            f"{len(flat)} of {len(places)} regularization pictures are one flat color and are left out of the set."
        )
    _write_manifest(
        folder,
        requests,
        places,
        flat=frozenset(flat),
        facts={
            "base": base.name,
            "base_fingerprint": base.fingerprint(),
            "licence": base.licence,
            "draw": {**sampler_facts(base), **options.model_dump(mode="json")},
        },
    )


def draw_once(
    base: Any, requests: Sequence[Request], root: Path, options: DrawOptions, *, what: str
) -> Generator[Event, None, list[Image]]:
    """Draw pictures of the frozen base into the pool that sets share, or find them there.

    Args:
        base: the base, with nothing attached.
        requests: the pictures, in order.
        root: where all sets are kept.
        options: how they are drawn.
        what: what the progress is called.

    Returns:
        The pictures, in the order of the requests.

    Raises:
        RunError: the disk is full or cannot be written, or a picture in the pool is broken.
    """
    made_by = artist(base)
    places = {request: _place(root, picture_key(made_by, request, options)) for request in requests}
    yield from _fill(base, places, options, what)
    return [_read(places[request]) for request in requests]


def _fill(base: Any, places: Mapping[Request, Path], options: DrawOptions, what: str) -> Iterator[Event]:
    """Draw what has no picture yet; each one is whole or not there."""
    missing = [request for request, place in places.items() if not place.is_file()]
    total, done = len(places), len(places) - len(missing)
    yield Progressed(what, done, total)
    if not missing:
        return
    words, seeds = [made.prompt for made in missing], [made.seed for made in missing]
    pending = iter(missing)
    for images in draw(pipeline_for(base, options), words, seeds, options):
        for image in images:
            request = next(pending)
            _keep(image, request, places[request])
        done += len(images)
        yield Progressed(what, done, total)


def read_set(folder: Path) -> list[tuple[Request, Image]]:
    """Read a complete set.

    Returns:
        Requests with their pictures, in the set's order, flat ones left out.

    Raises:
        RunError: the set is not complete, or a picture is gone or broken; the message has the command.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise RunError(
            f"the regularization set {folder} is not complete", "all its pictures and its manifest", _COMMAND
        )
    data = read_json(manifest)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise RunError(
            f"{manifest} is not the manifest of a set", f"format {FORMAT}", f"remove {folder} and {_COMMAND}"
        )
    return [_read_picture(folder.parent, row, manifest) for row in data.get("pictures", []) if not row.get("flat")]


def _write_manifest(
    folder: Path,
    requests: Sequence[Request],
    places: dict[Request, Path],
    *,
    flat: frozenset[Request],
    facts: dict[str, Any],
) -> None:
    rows = [
        {
            "file": str(places[made].relative_to(folder.parent)),
            "prompt": made.prompt,
            "seed": made.seed,
            "flat": made in flat,
        }
        for made in requests
    ]
    write_json(folder / "manifest.json", {"format": FORMAT, **facts, "pictures": rows})


def _place(root: Path, key: str) -> Path:
    return root / "pictures" / key[:2] / f"{key}.png"


def _keep(image: Image, request: Request, place: Path) -> None:
    words = PngInfo()
    words.add_itxt("prompt", request.prompt)
    words.add_text("seed", str(request.seed))
    words.add_text("flat", "yes" if is_flat(image) else "no")
    with writing(place) as draft:
        image.save(draft, format="PNG", pnginfo=words)


def _is_marked_flat(place: Path) -> bool:
    with _opened(place) as file:
        return file.info.get("flat") == "yes"


def _read_picture(root: Path, row: dict[str, Any], manifest: Path) -> tuple[Request, Image]:
    path = root / str(row["file"])
    if not path.resolve().is_relative_to(root.resolve()):
        raise RunError(
            f"{manifest} names {path}, outside of {root}", "pictures of the set's own pool", f"remove it and {_COMMAND}"
        )
    return Request(str(row["prompt"]), int(row["seed"])), _read(path)


def _read(path: Path) -> Image:
    """Read the pixels of a picture and nothing else of it."""
    with _opened(path) as file:
        image = file.convert("RGB")
    return Pillow.frombytes("RGB", image.size, image.tobytes())


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    try:
        with Pillow.open(path, formats=("PNG",)) as file:
            yield file
    except FileNotFoundError as error:
        raise RunError(f"{path} is gone, but its set needs it", "all pictures of the set", _COMMAND) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise RunError(f"{path} is broken ({error})", "a whole picture", f"remove that file and {_COMMAND}") from error
