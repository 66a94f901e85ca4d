"""Delete what was learned of one subject: identities, checkpoints, cached latents, previews, pictures, reports.

What would go is listed first; nothing is deleted by listing. Links are never followed: a link is taken away, what it points to is
left and named. What other subjects need too is left, with the reason. Files are unlinked, not overwritten: backups, snapshots and
copies made elsewhere are out of reach.
"""

import errno
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ipseity.core.errors import IpseityError, RunError
from ipseity.core.files import read_json
from ipseity.flows.inspect import read_kept
from ipseity.training.lock import locked

IDENTITY, RECIPE, MANIFEST = "identity.safetensors", "recipe.toml", "manifest.json"
FIRST = (IDENTITY, "checkpoints")
"""What is deleted before all else."""
LAST = (".lock", RECIPE, MANIFEST)
"""What is deleted last, in this order: by these an interrupted deletion is found again."""
OURS = frozenset({*FIRST, *LAST, "previews", "generated", "export", "report", "events.jsonl", "log.txt"})
"""What ipseity writes into a run folder; whatever else lies there is the user's own, and is left."""
PICTURES = "generated"
_DRAFT = re.compile(r"\..+\.part")
_LATENTS = re.compile(r"latents-[0-9a-f]{32}\.safetensors")


@dataclass(frozen=True)
class Gone:
    """One file, folder or link that goes."""

    path: Path
    what: str
    files: int = 1
    bytes: int = 0


@dataclass(frozen=True)
class Left:
    """Something that stays, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Plan:
    """What would be deleted, in order, and what would not."""

    subject: str
    goes: tuple[Gone, ...]
    stays: tuple[Left, ...]
    runs: tuple[Path, ...] = ()

    def data(self) -> dict[str, Any]:
        """Give it as plain data."""
        goes = [{**asdict(one), "path": str(one.path)} for one in self.goes]
        stays = [{"path": str(one.path), "why": one.why} for one in self.stays]
        return {"subject": self.subject, "goes": goes, "stays": stays}


def forget(
    path: Path, *, token: str | None = None, name: str | None = None, pictures: bool = True, sure: bool = False
) -> dict[str, Any]:
    """List what is kept of a subject, and delete it where the user is sure.

    Args:
        path: an identity file, a run folder, or a folder of runs.
        token: of a folder of runs, those with this token.
        name: of a folder of runs, those of the subject that is called so.
        pictures: whether pictures drawn into the runs go too.
        sure: False only lists.

    Returns:
        Plain data: `subject`, `goes`, `stays`, `deleted`.

    Raises:
        RunError: see `plan_forgetting` and `carry_out`.
    """
    plan = plan_forgetting(path, token=token, name=name, pictures=pictures)
    if sure:
        carry_out(plan)
    return {**plan.data(), "deleted": sure}


def plan_forgetting(path: Path, *, token: str | None = None, name: str | None = None, pictures: bool = True) -> Plan:
    """List what is kept of a subject; nothing is changed.

    Raises:
        RunError: nothing is there, it is a link, or what is named is not one subject.
    """
    if path.is_symlink():
        raise RunError(
            f"{path} is a link", "the file or folder itself", f"name {os.path.realpath(path)}, if that is what you mean"
        )
    if not path.exists():
        raise RunError(f"{path} is not there", "an identity file, a run folder or a folder of runs", "check the path")
    path = path.resolve()
    runs, alone = _chosen(path, token, name)
    goes = [gone for run in runs for gone in _of_run(run, pictures=pictures)]
    stays = [left for run in runs for left in _left_in(run, pictures=pictures)]
    goes += [_weigh(alone, "identity")] if alone else []
    for cache in sorted({cache for run in runs if (cache := _cache_of(run))}):
        if cache.is_symlink() or not cache.is_dir():
            stays.append(
                Left(cache, "the recipe keeps latents there, but it is a link or not found from here: look yourself")
            )
            continue
        found = sorted(file for file in cache.iterdir() if _LATENTS.fullmatch(file.name) and not file.is_dir())
        goes += [_weigh(file, "cached latents; those of other runs are made again when needed") for file in found]
    stays += [*_shared(runs), *_kin(runs), *_links(goes)]
    return Plan(_called(runs, alone), tuple(_in_order(goes)), tuple(dict.fromkeys(stays)), tuple(runs))


def carry_out(plan: Plan) -> None:
    """Delete what a plan lists; what cannot be deleted holds up nothing else.

    Raises:
        RunError: a run is in use, so that nothing was deleted; or some of it could not be deleted, which is named.
    """
    failed: list[str] = []
    with ExitStack() as held:
        for run in plan.runs:
            if (run / ".lock").is_symlink():  # a lock is written to, and links are not followed
                continue
            try:
                held.enter_context(locked(run / ".lock"))
            except OSError:  # a folder that cannot be written has nobody writing in it
                continue
        for one in plan.goes:
            failed += _delete(one.path)
    for run in plan.runs:
        _drop_if_empty(run)
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise RunError(
            f"{len(failed)} of what belongs to {plan.subject} could not be deleted: {'; '.join(failed[:3])}{more}",
            "folders that you may write; all the rest is deleted",
            "change their permissions, and repeat the command",
        )


def _chosen(path: Path, token: str | None, name: str | None) -> tuple[list[Path], Path | None]:
    """Give the runs that are meant, or the identity file that belongs to none."""
    if path.is_file():
        read_kept(path)
        home = next((folder for folder in list(path.parents)[:3] if _is_run(folder)), None)
        inside = home is not None and path.relative_to(home).parts[0] in OURS
        return ([home], None) if home and inside else ([], path)
    if _is_run(path):
        return [path], None
    runs = [folder for folder in sorted(path.iterdir()) if not folder.is_symlink() and _is_run(folder)]
    if not runs:
        raise RunError(f"{path} holds no run", "an identity file, a run folder or a folder of runs", "check the path")
    if token is None and name is None:
        known = sorted({f"{_about(run)[0]} (token {_about(run)[1]})" for run in runs})
        raise RunError(f"{path} holds {len(runs)} runs, of {_some(known)}", "one subject", "name it with --token or --name, or name one run")  # fmt: skip
    meant = [run for run in runs if _fits(run, token, name)]
    if not meant:
        known = sorted({f"{_about(run)[0]} (token {_about(run)[1]})" for run in runs})
        raise RunError(f"{path} holds no run of that subject", f"one of: {_some(known)}", "check --token and --name")
    called = sorted({_about(run)[0] for run in meant})
    if len(called) > 1 and name is None:
        raise RunError(
            f"token '{token}' stands for several subjects in {path}: {_some(called)}",
            "one subject",
            "say which with --name",
        )
    return meant, None


def _is_run(folder: Path) -> bool:
    """Tell a run by its manifest: sets have one of another kind, and recipes of the user's own lie anywhere."""
    manifest = _manifest(folder)
    return "schema" in manifest and "recipe_hash" in manifest


def _fits(run: Path, token: str | None, name: str | None) -> bool:
    own_name, own_token = _about(run)
    return (token is None or token == own_token) and (name is None or name == own_name)


def _about(run: Path) -> tuple[str, str]:
    """Give the name and the token of a run's subject, as its recipe says."""
    subject = _table(run, "subject")
    photos = Path(str(subject.get("photos", run.name))).name
    return str(subject.get("name") or photos), str(subject.get("token", "sks"))


def _recipe(run: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads((run / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _table(run: Path, name: str) -> Mapping[str, Any]:
    found = _recipe(run).get(name)
    return found if isinstance(found, Mapping) else {}


def _manifest(run: Path) -> Mapping[str, Any]:
    try:
        found = read_json(run / MANIFEST)
    except IpseityError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _called(runs: Sequence[Path], alone: Path | None) -> str:
    names = sorted({_about(run)[0] for run in runs})
    return _some(names) if names else alone.name if alone else "nobody"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _of_run(run: Path, *, pictures: bool) -> Iterator[Gone]:
    told = {
        IDENTITY: "the identity", "checkpoints": "identities and optimizer states", "previews": "previews",
        PICTURES: "pictures", "export": "the identity in other formats", "report": "report with photos and pictures",
    }  # fmt: skip
    for entry in sorted(run.iterdir()):
        if entry.name == PICTURES and not pictures:
            continue
        if entry.name in OURS or _DRAFT.fullmatch(entry.name):
            yield _weigh(entry, told.get(entry.name, "record of the run"))


def _left_in(run: Path, *, pictures: bool) -> Iterator[Left]:
    for entry in sorted(run.iterdir()):
        if entry.name == PICTURES and not pictures:
            yield Left(entry, "its pictures shall stay")
        elif entry.name not in OURS and not _DRAFT.fullmatch(entry.name):
            yield Left(entry, "ipseity did not write it")


def _weigh(path: Path, what: str) -> Gone:
    if path.is_symlink():
        return Gone(path, "a link; what it points to stays")
    files = [path] if path.is_file() else [file for file in _walk(path) if file.is_symlink() or not file.is_dir()]
    return Gone(path, what, len(files), sum(file.lstat().st_size for file in files))


def _walk(folder: Path) -> Iterator[Path]:
    """Give everything below a folder, links among it but nothing behind them."""
    for place, folders, files in os.walk(folder, followlinks=False):
        yield from (Path(place) / name for name in (*folders, *files))


def _links(goes: Iterable[Gone]) -> Iterator[Left]:
    """Name what links that go point to, and what is known to other names too: that stays."""
    for one in goes:
        for path in (one.path, *(_walk(one.path) if one.path.is_dir() and not one.path.is_symlink() else ())):
            if path.is_symlink():
                yield Left(Path(os.path.realpath(path)), f"{path} is a link to it; links are not followed")
            elif path.is_file() and path.stat().st_nlink > 1:
                yield Left(path, "it has another name somewhere (a hard link), under which its content stays")


def _cache_of(run: Path) -> Path | None:
    named = _table(run, "data").get("latent_cache")
    return Path(named).expanduser().absolute() if isinstance(named, str) and named else None


def _shared(runs: Sequence[Path]) -> Iterator[Left]:
    """Name what other subjects need too, and what is the user's own."""
    for run in runs:
        sets, chosen = Path(str(_recipe(run).get("sets", "sets"))), _manifest(run).get("set")
        if chosen:
            yield Left(
                sets / str(chosen),
                "class pictures by the untrained base, which other subjects share; the subject is not in them",
            )
        if photos := _table(run, "subject").get("photos"):
            yield Left(Path(str(photos)), "your own photos are never deleted")
        for folder in list(run.parents)[:4]:
            if (folder / "pictures").is_dir() and (folder / "tables").is_dir():
                yield Left(
                    folder / "pictures",
                    "a benchmark's pictures of all its subjects: delete that folder if they shall go too",
                )


def _kin(runs: Sequence[Path]) -> Iterator[Left]:
    """Name other runs beside these that were learned from some of the same photos."""
    seen = {sha for run in runs for sha in _photos(run)}
    for root in sorted({run.parent for run in runs}):
        for other in sorted(root.iterdir()):
            if other not in runs and _is_run(other) and seen & _photos(other):
                yield Left(other, "another run from the same photos: forget it too, if it is the same subject")


def _photos(run: Path) -> set[str]:
    found = _manifest(run).get("photos")
    return {str(sha) for sha in found.values()} if isinstance(found, Mapping) else set()


def _in_order(goes: Iterable[Gone]) -> list[Gone]:
    """Put what tells most of the subject first, and last what an interrupted deletion is found again by."""

    def place(one: Gone) -> int:
        if one.path.name in LAST:
            return 1 + LAST.index(one.path.name)
        return -1 if one.path.name in FIRST or one.path.suffix == ".safetensors" else 0

    return sorted(goes, key=place)


def _delete(path: Path) -> list[str]:
    """Delete a file, a link or a whole folder, and give what could not be deleted."""
    failed: list[str] = []

    def keep_on(_: Any, place: str, error: Any) -> None:
        reason = error[1] if isinstance(error, tuple) else error
        consequence = isinstance(reason, OSError) and reason.errno == errno.ENOTEMPTY and failed
        if not isinstance(reason, FileNotFoundError) and not consequence:
            failed.append(f"{place} ({getattr(reason, 'strerror', None) or reason})")

    if path.is_dir() and not path.is_symlink():
        told: Any = {"onexc" if sys.version_info >= (3, 12) else "onerror": keep_on}
        shutil.rmtree(path, **told)
        return failed
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        keep_on(None, str(path), error)
    return failed


def _drop_if_empty(run: Path) -> None:
    try:
        (run / ".lock").unlink(missing_ok=True)
        run.rmdir()
    except OSError:  # something of the user's own lies in it, which was named
        return
