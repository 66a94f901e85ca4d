"""Text to checked objects: the only place where a string becomes a thing.

A recipe is a TOML file with one table a part. The parts that are plug-ins are chosen by `use = "name"`; every table is
checked by the options class that stands beside the thing it configures. Defaults < recipe file < `--set`.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import Field, ValidationError

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import CapabilityError, RecipeError
from ipseity.core.files import sha256_of
from ipseity.core.options import Options
from ipseity.core.registry import find, names
from ipseity.data.batches import DataOptions
from ipseity.data.subject import SubjectOptions
from ipseity.evaluation.plan import EvaluateOptions
from ipseity.training.loop import FitOptions


class General(Options):
    """What stands at the head of a recipe, before the first table."""

    name: str = Field("run", pattern=r"^[\w.+-]+$")
    """Names the run's folder."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Every random number of the run follows from it."""
    runs: Path = Path("runs")
    """Where run folders are made."""
    sets: Path = Path("sets")
    """Where regularization sets are kept; subjects of a class share pictures there."""


@dataclass(frozen=True)
class Chosen:
    """A plug-in and the options it is used with."""

    name: str
    plugin: Any
    options: Any


PLUGINS = {
    "base": "bases",
    "method": "methods",
    "captions": "captions",
    "regularization": "regularizations",
    "engine": "engines",
}
"""Table of the recipe -> shelf of plug-ins."""
DEFAULTS = {
    "base": "toybox",
    "method": "lora",
    "captions": "structured",
    "regularization": "structured",
    "engine": "single",
}
TABLES: dict[str, type[Options]] = {
    "subject": SubjectOptions,
    "data": DataOptions,
    "fit": FitOptions,
    "draw": DrawOptions,
    "evaluate": EvaluateOptions,
}
ORDER = ("subject", "base", "method", "captions", "regularization", "data", "fit", "engine", "draw", "evaluate")


@dataclass(frozen=True)
class Recipe:
    """Everything a run follows, checked and complete."""

    general: General
    subject: SubjectOptions
    base: Chosen
    method: Chosen
    captions: Chosen
    regularization: Chosen
    data: DataOptions
    fit: FitOptions
    engine: Chosen
    draw: DrawOptions
    evaluate: EvaluateOptions

    def plain(self) -> dict[str, Any]:
        """Give the recipe as plain data, defaults written out, that reads back as itself."""
        plain = self.general.model_dump(mode="json")
        for table in ORDER:
            part = getattr(self, table)
            options = part.options if isinstance(part, Chosen) else part
            chosen = {"use": part.name} if isinstance(part, Chosen) else {}
            plain[table] = {**chosen, **options.model_dump(mode="json", exclude_none=True)}
        return plain

    def to_toml(self) -> str:
        """Write the recipe as TOML, defaults written out."""
        return tomlkit.dumps(self.plain())

    def hash(self) -> str:
        """Hash what the numbers of a run depend on; where folders lie, what the run is called and who agreed is left out."""
        plain = {key: value for key, value in self.plain().items() if key not in ("name", "runs", "sets")}
        plain["subject"] = {key: value for key, value in plain["subject"].items() if key != "consent"}
        return sha256_of([plain])


def read_recipe(path: Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe file, or the recipe of that name on the shelf, and change what `settings` say.

    Args:
        path: a TOML file, or a name on the shelf.
        settings: `table.key=value` words; values are TOML, and text need not be quoted.

    Raises:
        RecipeError: no such file, not TOML, an unknown table, key or name, or a value out of its bounds.
    """
    return make_recipe(change(parse(read_text(path), str(path)), settings), origin=str(path))


def make_recipe(data: Mapping[str, Any], *, origin: str = "the recipe") -> Recipe:
    """Check plain data and turn it into a recipe.

    Raises:
        RecipeError: see `read_recipe`.
        CapabilityError: the base does not offer what the method needs.
    """
    heads = [key for key in data if key not in ORDER]
    unknown = [key for key in heads if key not in General.model_fields]
    if unknown:
        known = [*General.model_fields, *ORDER]
        raise RecipeError(
            f"{origin}: '{unknown[0]}' is not a table or key",
            f"one of: {', '.join(known)}",
            _nearest(unknown[0], known),
        )
    parts: dict[str, Any] = {"general": check_options(General, {key: data[key] for key in heads}, origin, "")}
    for table in ORDER:
        given = data.get(table, {})
        if not isinstance(given, Mapping):
            raise RecipeError(
                f"{origin}: '{table}' is {given!r}", "a table", f'write [{table}] and below it use = "..." and its keys'
            )
        parts[table] = (
            _choose(table, dict(given), origin, parts["general"].seed)
            if table in PLUGINS
            else check_options(TABLES[table], given, origin, table)
        )
    recipe = Recipe(**parts)
    _fits(recipe)
    _are_known(recipe.evaluate, origin)
    _can_pick(recipe.evaluate, origin)
    _may_describe(recipe, origin)
    return recipe


def shelf() -> dict[str, Path]:
    """List the recipes that ship with the package, by name."""
    folder = Path(str(files("ipseity") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_text(path: Path) -> str:
    """Read a recipe file's text, or that of the recipe of that name on the shelf."""
    shelved = shelf()
    source = path if path.is_file() else shelved.get(str(path).removesuffix(".toml"))
    if source is None:
        raise RecipeError(
            f"there is no recipe '{path}'",
            f"a TOML file, or one of the shelf: {', '.join(shelved)}",
            _nearest(str(path), shelved),
        )
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{source} cannot be read ({error})",
            "a text file in TOML",
            "name another, or `ipseity new RECIPE.toml` makes one",
        ) from error


def parse(text: str, origin: str) -> dict[str, Any]:
    """Parse TOML text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{origin} is not TOML: {error}",
            "lines of the form key = value under [tables]",
            "mend the line that is named",
        ) from error


def change(data: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Give new plain data in which each `table.key=value` has been set."""
    changed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in data.items()}
    for setting in settings:
        key, sign, value = setting.partition("=")
        table, _, name = key.strip().rpartition(".")
        if not sign or not key.strip():
            raise RecipeError(
                f"--set {setting!r}", "the form table.key=value", "write for example --set fit.max_train_steps=400"
            )
        target = changed.setdefault(table, {}) if table else changed
        if table and name == "use" and target.get("use") != value.strip().strip("\"'"):
            target.clear()  # another plug-in has other keys
        target[name or key.strip()] = _value(value.strip())
    return changed


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _choose(table: str, given: dict[str, Any], origin: str, seed: int) -> Chosen:
    """Choose a plug-in; where a method starts from chance and no seed of its own is given, the run's seed decides."""
    name = given.pop("use", DEFAULTS[table])
    if not isinstance(name, str) or name not in names(PLUGINS[table]):
        known = names(PLUGINS[table])
        raise RecipeError(
            f"{origin}: {table}.use is {name!r}", f"one of: {', '.join(known)}", _nearest(str(name), known)
        )
    plugin = find(PLUGINS[table], name)
    options = check_options(plugin.Options, given, origin, table)
    follows = table == "method" and "seed" in plugin.Options.model_fields and "seed" not in given
    return Chosen(name, plugin, options.model_copy(update={"seed": seed}) if follows else options)


def check_options(kind: type[Options], given: Mapping[str, Any], origin: str, table: str) -> Any:
    """Make options of what was given.

    Args:
        kind: their class.
        given: keys and plain values.
        origin: where they come from, for the message.
        table: what stands before the keys in the message; may be empty.

    Raises:
        RecipeError: a key is unknown or a value out of bounds.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise _explain(error, kind, origin, table) from error


def _explain(error: ValidationError, kind: type[Options], origin: str, table: str) -> RecipeError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in ([table] if table else []) + list(first["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = [name for name in kind.model_fields if name != "use"]
        return RecipeError(
            f"{origin}: {key}: there is no such key{more}",
            f"one of: {', '.join(known)}",
            _nearest(str(first["loc"][-1]), known),
        )
    if first["type"] == "missing":
        field = kind.model_fields.get(str(first["loc"][0]))
        return RecipeError(
            f"{origin}: {key} is missing{more}",
            (field and field.description) or "a value",
            f"set it in the recipe, or with --set {key}=...",
        )
    message = first["msg"].removeprefix("Value error, ")
    return RecipeError(
        f"{origin}: {key} is {first['input']!r}{more}",
        message[0].lower() + message[1:],
        f"set it in the recipe, or with --set {key}=...",
    )


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean '{near[0]}'?" if near else "choose one of them"


def _fits(recipe: Recipe) -> None:
    """Hold what the method needs against what the base offers, before any weight is loaded."""
    lacking = sorted(recipe.method.plugin.needs - recipe.base.plugin.offers)
    if lacking:
        needs = recipe.method.plugin.needs
        fitting = [name for name in names("bases") if needs <= find("bases", name).offers]
        raise CapabilityError(
            f"method '{recipe.method.name}' needs {_words(needs)}; base '{recipe.base.name}' offers no {_words(lacking)}",
            f"a base that offers it: {', '.join(fitting) or 'none is installed'}",
            "change base.use or method.use",
        )


def _are_known(options: EvaluateOptions, origin: str) -> None:
    """Refuse evaluators and metrics that nobody has heard of now, and not when there is something to score."""
    asked = {
        "pick": ("encoders", (options.pick,)),
        "score": ("encoders", options.score),
        "metrics": ("metrics", options.metrics),
    }
    for key, (room, chosen) in asked.items():
        known = names(room)
        if unknown := [name for name in chosen if name not in known]:
            raise RecipeError(
                f"{origin}: evaluate.{key} names '{unknown[0]}'",
                f"one of: {', '.join(known)}",
                _nearest(unknown[0], known),
            )


def _can_pick(options: EvaluateOptions, origin: str) -> None:
    able = [name for name in names("encoders") if {"image", "text"} <= find("encoders", name).offers]
    if options.pick not in able:
        raise RecipeError(
            f"{origin}: evaluate.pick is '{options.pick}', which does not read both pictures and texts",
            f"one of: {', '.join(able)}",
            "choose one of them to pick, and let this one score",
        )


def _may_describe(recipe: Recipe, origin: str) -> None:
    """Refuse a describer that cannot read, or that picks or scores: it would be asked whether its own words hold."""
    name = getattr(recipe.captions.options, "describer", None)
    if name is None:
        return
    able = [one for one in names("encoders") if {"image", "text"} <= find("encoders", one).offers]
    roles = {"picks the checkpoint": (recipe.evaluate.pick,), "scores the result": recipe.evaluate.score}
    taken = {one: role for role, ones in roles.items() for one in ones}
    if name not in able or name in taken:
        free = [one for one in able if one not in taken]
        raise RecipeError(
            f"{origin}: captions.describer is '{name}', which {taken.get(name, 'does not read both pictures and texts')}",
            f"an evaluator that reads both and neither picks nor scores: {', '.join(free) or 'none is left'}",
            "choose one of them, or give evaluate.pick or evaluate.score to another"
            if free
            else "give evaluate.pick or evaluate.score to another",
        )


def _words(abilities: Iterable[str]) -> str:
    return " and ".join(f"'{ability}'" for ability in sorted(abilities))
