"""Pictures that the frozen base makes: kept by what made them, so that sets share them and none is made twice.

sets/pictures/<ab>/<hash>.png    one picture: hash of base, sampler, prompt, seed and drawing options; its words lie inside
sets/<hash>/manifest.json        one set: which pictures, in order, and which of them are left out and why; written last

A set that leaves pictures out is smaller than asked for: nothing takes their place. A set is named by its requests before
anything is drawn, and which of them fall out is known only afterwards, so replacements would change the name, or the
same name would stand for other pictures. To ask for more `images` does the same: what is there stays, the rest is drawn.
"""

import inspect
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
from ipseity.data.filters import BATCH, EMPTY, FLAT, PLAIN, FilterOptions, LeftOut, Looks, Sieve, sift, tell

FORMAT = "ipseity.set.1"
MAX_FLAT_SHARE = 0.5
"""Of a set's pictures, how many may be one flat color, or nearly so, before the base itself is doubted."""
_WRITERS = 2
"""Threads. A picture of 1024 px takes a processor 0.2 s to compress, for which an accelerator need not wait."""
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


def set_folder(
    root: Path, made_by: str, requests: Sequence[Request], options: DrawOptions, *, filters: FilterOptions = PLAIN
) -> Path:
    """Name the folder of a set by what makes it. Nothing is written.

    Args:
        root: where all sets are kept.
        made_by: what `artist` gives for the base.
        requests: the pictures, in order.
        options: how they are drawn; the batch size does not count.
        filters: what is left out. The pictures themselves do not hang on it, so sets with other filters share them.
    """
    keys = [picture_key(made_by, request, options) for request in requests]
    return root / sha256_of([FORMAT, filters.model_dump(mode="json"), *keys])[:16]


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


def synthesize(
    base: Any, requests: Sequence[Request], folder: Path, options: DrawOptions, *, sieve: Sieve | None = None
) -> Iterator[Event]:
    """Draw the pictures of a set that no set has yet, say which are left out and why, then write its manifest.

    Interrupted, it goes on where it was: each picture is whole or not there.

    Args:
        base: the base, with nothing attached.
        requests: the pictures, in order.
        folder: what `set_folder` named for the same requests and filters.
        options: how they are drawn.
        sieve: the filters, with their encoder; without it the plain ones.

    Raises:
        Failure: most pictures are one flat color or nearly so, so the base is broken.
        RunError: the disk is full or cannot be written.
    """
    sieve, made_by = sieve or Sieve(), artist(base)
    places = {request: _place(folder.parent, picture_key(made_by, request, options)) for request in requests}
    named = set_folder(folder.parent, made_by, requests, options, filters=sieve.options)
    assert folder == named, "the folder belongs to other requests or filters"
    missing = sum(not place.is_file() for place in places.values())
    if 0 < missing < len(places):
        done = len(places) - missing
        yield Noticed(f"{done} of {len(places)} regularization pictures are there already; {missing} are drawn.")
    yield from _fill(base, places, options, "synthesize")
    if missing or not _stands(folder, places.values(), sieve):
        reasons = yield from _looked_over(places, sieve)
        _refuse_bare(reasons.values(), len(places))
        rows = [_row(made, places[made].relative_to(folder.parent), reasons[made]) for made in requests]
        left_out = Counter(reason.kind for reason in reasons.values() if reason)
        told = {
            "base": base.name,
            "base_fingerprint": base.fingerprint(),
            "licence": base.licence,
            "draw": {**sampler_facts(base), **options.model_dump(mode="json")},
            "filters": sieve.facts(),
            "counts": {"asked": len(places), "left_out": dict(left_out)},
        }
        write_json(folder / "manifest.json", {"format": FORMAT, **told, "pictures": rows})
    if sentence := tell_left_out(folder):
        yield Noticed(sentence)


def tell_left_out(folder: Path) -> str:
    """Say in a sentence what a complete set leaves out; nothing where it is whole.

    Raises:
        RunError: the set is not complete.
    """
    data = _read_manifest(folder)
    rows = data.get("pictures", [])
    counts = data.get("counts") or {"asked": len(rows), "left_out": {FLAT: sum(bool(row.get("flat")) for row in rows)}}
    return tell(counts["left_out"], counts["asked"])


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
    """Draw what has no picture yet; each one is whole or not there.

    Pictures are written while the next batch is drawn. A batch is told when it is drawn, and whoever stops here waits
    until it is written; at most two batches are held.
    """
    missing = [request for request, place in places.items() if not place.is_file()]
    total, done = len(places), len(places) - len(missing)
    yield Progressed(what, done, total)
    if not missing:
        return
    words, seeds = [made.prompt for made in missing], [made.seed for made in missing]
    pending, writes = iter(missing), list[Future[None]]()
    with ThreadPoolExecutor(_WRITERS) as writers:
        for images in draw(pipeline_for(base, options), words, seeds, options):
            _written(writes)
            batch = [(image, next(pending)) for image in images]
            writes = [writers.submit(_keep, image, request, places[request]) for image, request in batch]
            done += len(images)
            yield Progressed(what, done, total)
        _written(writes)


def _written(writes: Iterable[Future[None]]) -> None:
    """Wait for pictures to be written; raises what went wrong."""
    for write in writes:
        write.result()


def _looked_over(places: Mapping[Request, Path], sieve: Sieve) -> Generator[Event, None, dict[Request, LeftOut | None]]:
    """Read the pictures, a few at a time, and decide which are left out."""
    requests, parts = list(places), list[Looks]()
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        parts.append(Looks.of([_read(places[request]) for request in batch], sieve.encoder))
        yield Progressed("look over the set", start + len(batch), len(requests))
    return dict(zip(requests, sift(requests, Looks.cat(parts), sieve), strict=True))


def _refuse_bare(reasons: Iterable[LeftOut | None], total: int) -> None:
    bare = sum(reason is not None and reason.kind in (FLAT, EMPTY) for reason in reasons)
    if bare > MAX_FLAT_SHARE * total:
        raise Failure(
            f"{bare} of {total} regularization pictures are one flat color or nearly so. The base draws nothing: "
            "load it in fp32 or bf16, and check its weights."
        )


def _stands(folder: Path, places: Iterable[Path], sieve: Sieve) -> bool:
    """Whether the set was looked over before by the same filters; its pictures are opened, but not read again."""
    for place in places:
        with _opened(place):
            pass
    try:
        return _read_manifest(folder).get("filters") == sieve.facts()
    except RunError:
        return False


def _row(made: Request, file: Path, reason: LeftOut | None) -> dict[str, Any]:
    row = {"file": str(file), "prompt": made.prompt, "seed": made.seed}
    return {**row, "left_out": str(reason)} if reason else row


def read_set(folder: Path) -> list[tuple[Request, Image]]:
    """Read a complete set.

    Returns:
        Requests with their pictures, in the set's order, without those that are left out.

    Raises:
        RunError: the set is not complete, or a picture is gone or broken; the message has the command.
    """
    manifest, rows = folder / "manifest.json", _read_manifest(folder).get("pictures", [])
    # `flat` is how manifests said it before there were other reasons
    kept = [row for row in rows if not (row.get("left_out") or row.get("flat"))]
    return [_read_picture(folder.parent, row, manifest) for row in kept]


def _read_manifest(folder: Path) -> dict[str, Any]:
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
    return data


def _place(root: Path, key: str) -> Path:
    return root / "pictures" / key[:2] / f"{key}.png"


def _keep(image: Image, request: Request, place: Path) -> None:
    words = PngInfo()
    words.add_itxt("prompt", request.prompt)
    words.add_text("seed", str(request.seed))
    with writing(place) as draft:
        image.save(draft, format="PNG", pnginfo=words)


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
