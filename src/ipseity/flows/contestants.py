"""What draws for a benchmark: finished runs and identities matched by their photos, or a recipe that trains each subject first."""

import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipseity.core.errors import RecipeError, RunError
from ipseity.core.events import Event, Noticed
from ipseity.core.files import sha256_of_file, writing
from ipseity.core.identity import Identity
from ipseity.data.sidecars import mask_for
from ipseity.flows.cases import BenchWish, Case, check_trained, trained_photos
from ipseity.flows.generate import read_run
from ipseity.flows.judge import need_picker
from ipseity.flows.personalize import find_run
from ipseity.flows.setting import set_out, start_engine
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.train import train_flow
from ipseity.recipe import Recipe, change, make_recipe, parse, read_recipe, read_text
from ipseity.training.run import Run

DEFAULT = "data-centric"
OURS = ("subject.photos", "subject.class_noun", "subject.name", "name")
"""Keys that the benchmark fills for each subject."""


@dataclass(frozen=True)
class Contestant:
    """An identity of one subject, and the recipe whose base and sampler draw it."""

    identity: Identity
    path: Path
    sha256: str
    """Of the identity file."""
    recipe: Recipe

    def facts(self) -> dict[str, Any]:
        """Describe it for a manifest."""
        about = self.identity
        kept = ("recipe_hash", "step", "seed", "trained_on", "set")
        return {
            "file": str(self.path),
            "sha256": self.sha256,
            "method": about.method,
            "token": about.token,
            "class_noun": about.class_noun,
            "options": dict(about.options),
            **{key: about.facts[key] for key in kept if key in about.facts},
        }


class Studio:
    """Keeps one base loaded for all subjects that are drawn by it."""

    def __init__(self) -> None:
        self._key: object = None
        self._base: Any = None

    def base(self, recipe: Recipe) -> Any:
        """Give the recipe's base, with nothing attached."""
        key = (recipe.base.name, recipe.base.options, recipe.engine.name, recipe.engine.options)
        if key != self._key:
            self._key = self._base = None  # the old one goes before the new one comes
            device = start_engine(recipe.engine, alone=True).device
            self._base, self._key = recipe.base.plugin.load(recipe.base.options, device), key
        return self._base


def wished_recipe(wish: BenchWish) -> Recipe:
    """Give the recipe that trains, or that says how bare identities are drawn and where evaluators live."""
    return read_recipe(Path(wish.recipe or DEFAULT), wish.set)


def find_contestants(wish: BenchWish, cases: Sequence[Case]) -> tuple[dict[str, Contestant], list[str]]:
    """Read the runs and identities that are named, and match each with a subject by the photos it was made from.

    Returns:
        Subject -> what draws it, and a sentence for each run that is left out.

    Raises:
        RunError: a run without an identity, of no subject, of a subject that has one already, or trained otherwise
            than the protocol says.
        WeightsError: a file is no identity.
    """
    found: dict[str, Contestant] = {}
    notes = []
    for path, is_named in _paths(wish.run):
        if not is_named and path.is_dir() and not (path / "identity.safetensors").is_file():
            notes.append(f"{path.name} holds no identity yet and is left out.")
            continue
        contestant = _read(path, wish)
        case = _match(contestant, cases)
        if case is None and (is_named or not wish.subjects):
            if is_named:
                raise _stranger(path, contestant, cases)
            notes.append(f"{path.name} is of no subject of the data set and is left out.")
        if case is None:
            continue
        if case.name in found:
            raise RunError(
                f"{found[case.name].path} and {contestant.path} are both of subject '{case.name}'",
                "one a subject",
                "name the runs that shall draw with --run, one by one",
            )
        check_trained(case, trained_photos(case, contestant.identity.facts), str(path))
        found[case.name] = contestant
    return found, notes


def train_contestant(wish: BenchWish, case: Case, studio: Studio) -> Generator[Event, None, Contestant]:
    """Train a subject by the recipe, or find it trained; an interrupted run goes on where it was.

    Raises:
        RecipeError: the recipe does not agree with the protocol, or wants several processes.
    """
    recipe = case_recipe(wish, case)
    run = find_run(recipe)
    if not _is_finished(run):
        need_picker(recipe)
        yield Noticed(f"Subject {case.name}: training in {run.folder}")
        setting = set_out(recipe, alone=True, base=studio.base(recipe))
        yield from synthesize_flow(setting)
        yield from train_flow(setting, run)
    contestant = _read(run.folder, wish)
    check_trained(case, trained_photos(case, contestant.identity.facts), str(run.folder))
    return contestant


def case_recipe(wish: BenchWish, case: Case) -> Recipe:
    """Make the recipe of one subject: the wished one with its photos, split as the protocol says.

    Raises:
        RecipeError: see `train_contestant`.
    """
    name = wish.recipe or DEFAULT
    for setting in wish.set:
        if (key := setting.partition("=")[0].strip()) in OURS:
            raise RecipeError(f"--set {setting}", f"a key other than {key}", "leave it out: the benchmark fills it")
    places = {"runs": str(wish.out / "runs" / case.protocol), "sets": str(wish.out / "sets")}
    data = change({**parse(read_text(Path(name)), name), **places}, wish.set)
    holds = case.protocol != "original"
    asked = data.get("evaluate", {}).get("hold_out", holds)
    if asked != holds:
        raise RecipeError(
            f"evaluate.hold_out is {str(asked).lower()}, but the protocol is '{case.protocol}'",
            f"evaluate.hold_out = {str(holds).lower()}",
            "leave it out: the protocol decides it; or choose another --protocol",
        )
    data["evaluate"] = {**data.get("evaluate", {}), "hold_out": holds}
    photos = _one_photo(wish, case) if case.protocol == "single-image" else wish.data / case.name
    about = {"photos": str(photos), "class_noun": case.subject.class_noun, "name": case.name}
    data |= {"name": case.name, "subject": {**data.get("subject", {}), **about}}
    recipe = make_recipe(data if wish.seed is None else {**data, "seed": wish.seed}, origin=name)
    if (count := getattr(recipe.engine.options, "num_processes", 1)) > 1:
        raise RecipeError(
            f"engine.num_processes is {count}",
            "1: a benchmark trains in one process, subject after subject",
            "leave it out, or train with `ipseity train` and name the runs with --run",
        )
    return recipe


def _one_photo(wish: BenchWish, case: Case) -> Path:
    """Lay the one photo that trains into a folder of its own, with what the user wrote about it, and give the folder."""
    photo, folder = case.train[0].path, wish.out / "photos" / case.protocol / case.name
    beside = (photo, photo.with_suffix(".txt"), *(photo.parent / f"metadata.{kind}" for kind in ("csv", "jsonl")))
    wanted = {folder / path.name: path for path in beside if path.is_file()}
    if mask := mask_for(photo):
        wanted[folder / "masks" / mask.name] = mask
    for target, source in wanted.items():
        if not target.is_file():
            with writing(target) as draft:
                shutil.copyfile(source, draft)
    return folder


def _paths(named: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Give runs and identity files, and whether the user named each one or the folder that it lies in."""
    for path in named:
        if path.is_file() or (path / "recipe.toml").is_file() or (path / "manifest.json").is_file():
            yield path, True
            continue
        inside = sorted(path.iterdir()) if path.is_dir() else []
        runs = [one for one in inside if (one / "recipe.toml").is_file() or one.suffix == ".safetensors"]
        if not runs:
            raise RunError(
                f"{path} holds no run and no identity" if path.exists() else f"{path} is not there",
                "a run folder, an identity file, or a folder of them",
                "`ipseity list runs` shows the runs; without --run the recipe is trained first",
            )
        yield from ((one, False) for one in runs)


def _read(path: Path, wish: BenchWish) -> Contestant:
    """Read a run with its own recipe, or a bare identity, which the wished recipe draws."""
    if path.is_dir():
        recipe, identity = read_run(path)
        path = path / "identity.safetensors"
        drawn = [setting for setting in wish.set if setting.startswith(("draw.", "engine."))]
        if wish.run:
            _refuse_late(wish, drawn)
            recipe = make_recipe(change(recipe.plain(), drawn), origin=str(path.parent))
    else:
        recipe, identity = wished_recipe(wish), Identity.load(path)
    if recipe.base.name != identity.base:
        raise RunError(
            f"{path} was learned on base '{identity.base}', and the recipe's is '{recipe.base.name}'",
            "a recipe with that base",
            "name one with --recipe",
        )
    return Contestant(identity, path, sha256_of_file(path), recipe)


def _refuse_late(wish: BenchWish, drawn: Sequence[str]) -> None:
    late = [setting for setting in wish.set if setting not in drawn]
    if late or wish.recipe:
        raise RecipeError(
            f"--set {late[0]} with --run" if late else f"--recipe {wish.recipe} with a run, which has its own recipe",
            "draw.* or engine.*, since a finished run cannot be trained otherwise",
            "leave it out, or leave out --run to train each subject first",
        )


def _match(contestant: Contestant, cases: Sequence[Case]) -> Case | None:
    photos: Mapping[str, str] = contestant.identity.facts.get("photos", {})
    shas = set(photos.values())
    return next((case for case in cases if shas & {photo.sha256 for photo in case.subject.photos}), None)


def _stranger(path: Path, contestant: Contestant, cases: Sequence[Case]) -> RunError:
    photos = ", ".join(contestant.identity.facts.get("photos", {})) or "photos that it does not tell"
    return RunError(
        f"{path} was made from {photos}, which are no photos of {', '.join(case.name for case in cases)}",
        "a run of a subject that is asked for",
        "name another, or ask for its subject with --subjects",
    )


def _is_finished(run: Run) -> bool:
    done = run.is_begun and run.manifest().get("state") == "finished"
    return done and (run.folder / "identity.safetensors").is_file()
