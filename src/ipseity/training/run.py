"""The folder of a run: what was asked, what happened, what was learned; it can be taken up again after any end.

runs/<name>/
    recipe.toml      resolved, defaults written out
    manifest.json    schema version, state, hashes, machine, seeds, times; replaced in one move
    events.jsonl     one fact a line
    previews/000500/ 00.png ... and captions.json
    checkpoints/000500/ identity.safetensors, optimizer.safetensors, done.json (written last)
    identity.safetensors the checkpoint that was kept
"""

import difflib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from PIL.Image import Image
from torch import nn, optim

from ipseity.core.errors import RunError, WeightsError
from ipseity.core.events import Event, Saved, Stepped
from ipseity.core.files import explain, read_json, sha256_of, write_json, write_text, writing
from ipseity.core.identity import Identity
from ipseity.core.protocols import Learner
from ipseity.training.checkpoint import Checkpoint, list_checkpoints, read_checkpoint, read_optimizer, write_checkpoint
from ipseity.training.interrupt import uninterrupted
from ipseity.training.journal import Journal
from ipseity.training.lock import locked
from ipseity.training.machine import code_version, machine_facts
from ipseity.training.optim import pack_state, unpack_state

T = TypeVar("T")
SCHEMA = 1
MUST_AGREE = ("base_fingerprint", "photos", "set")
"""Facts that, beside the recipe, decide the numbers of a run."""


class Run:
    """One run's folder. Opened, it can be written; closed, it can be read.

    Args:
        folder: where; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._journal = Journal(self.folder / "events.jsonl")
        self._writes = False
        self._learner: Learner | None = None
        self._optimizer: optim.Optimizer | None = None
        self._reached: Stepped | None = None
        self._told = 0

    # ---------------------------------------------------------------- opening and closing

    @contextmanager
    def open(self, recipe: str, facts: Mapping[str, Any], *, is_main: bool = True) -> Iterator["Run"]:
        """Hold the folder for the length of a block and keep its manifest's state true.

        An interrupt, or closing the generator that holds the block, saves a checkpoint and leaves `stopped`; an
        exception leaves `failed` with its message; the end leaves `finished`. A finished run may be opened again.

        Args:
            recipe: the resolved recipe as TOML.
            facts: plain data for the manifest; `recipe_hash` tells whether two recipes are the same.
            is_main: whether this process writes; others only read.

        Raises:
            RunError: the folder belongs to another recipe, base or photos, is in use, or cannot be written.
        """
        if not is_main:
            self._agree(recipe, facts)
            yield self
            return
        with ExitStack() as held:
            self._begin(recipe, facts, held)
            try:
                yield self
            except (GeneratorExit, KeyboardInterrupt, SystemExit):
                self._stop()
                raise
            except BaseException as error:
                self._state("failed", message=f"{type(error).__name__}: {error}")
                raise
            else:
                self._state("finished")
            finally:
                self._writes, self._learner, self._optimizer, self._reached = False, None, None, None

    def _begin(self, recipe: str, facts: Mapping[str, Any], held: ExitStack) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(self.folder / ".lock"))
        except OSError as error:
            raise explain(error, self.folder) from error
        self._agree(recipe, facts)
        before = self.manifest() if self.is_begun else {}
        if not self.is_begun:
            write_text(self.folder / "recipe.toml", recipe)
        now = _now()
        sessions = [*before.get("sessions", []), {"began": now, "from_step": self.step}]
        manifest = {
            "schema": SCHEMA,
            "state": "running",
            "recipe_hash": _hash(recipe, facts),
            **facts,
            "code_version": code_version(),
            "machine": machine_facts(),
            "started": before.get("started", now),
            "sessions": sessions,
        }
        write_json(self.folder / "manifest.json", manifest)
        newest = self.latest()
        if newest is None:
            self._journal.cut(0, -1, None)
        else:
            self._journal.cut(
                newest.events_bytes, newest.step, Saved(newest.step, newest.folder) if newest.due else None
            )
        self._writes, self._told, self._reached = True, newest.step if newest else 0, None

    def _agree(self, recipe: str, facts: Mapping[str, Any]) -> None:
        if not self.is_begun:
            return
        manifest = self.manifest()
        if manifest.get("schema") != SCHEMA:
            raise RunError(
                f"{self.folder} was written with schema {manifest.get('schema')}",
                f"schema {SCHEMA}",
                "start a new run folder, or use the version of ipseity that wrote it",
            )
        if manifest.get("recipe_hash") != _hash(recipe, facts):
            raise RunError(
                f"{self.folder} was begun with another recipe:\n{self._difference(recipe)}\n",
                "the same recipe, so that the run goes on as it began",
                "change the recipe back, or start a new run folder",
            )
        changed = [key for key in MUST_AGREE if key in facts and manifest.get(key) != _plain(facts[key])]
        if changed:
            raise RunError(
                f"{self.folder} was begun with other data ({', '.join(changed)} differ)",
                "the same base weights, photos and set, so that the run goes on as it began",
                f"put them back, or begin anew: move {self.folder} away, or give the run another name (--set name=...)",
            )

    def _difference(self, recipe: str) -> str:
        path = self.folder / "recipe.toml"
        begun = path.read_text(encoding="utf-8") if path.is_file() else ""
        lines = difflib.unified_diff(
            begun.splitlines(), recipe.splitlines(), "begun with", "given now", lineterm="", n=0
        )
        return "\n".join(line for line in lines if not line.startswith("@@"))

    def _stop(self) -> None:
        """Save where the run stands, so that nothing is lost."""
        with uninterrupted():
            if self._reached is not None:
                self._tell_reached()
                self.save(self._reached.step, due=False)
            self._state("stopped")

    def _tell_reached(self) -> None:
        if self._reached is not None and self._reached.step > self._told:
            self.tell(self._reached)

    def _state(self, state: str, **more: Any) -> None:
        manifest = self.manifest()
        sessions = manifest["sessions"]
        sessions[-1] |= {"ended": _now(), "at_step": self.step, "state": state}
        write_json(
            self.folder / "manifest.json", {**manifest, "state": state, "ended": _now(), "sessions": sessions, **more}
        )

    # ---------------------------------------------------------------- reading

    @property
    def is_begun(self) -> bool:
        """Whether a run was ever opened here."""
        return (self.folder / "manifest.json").is_file()

    @property
    def step(self) -> int:
        """Steps that the newest checkpoint holds."""
        newest = self.latest()
        return newest.step if newest else 0

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises:
            RunError: there is none.
        """
        return read_json(self.folder / "manifest.json")

    def events(self) -> list[dict[str, Any]]:
        """Read what was told so far."""
        return self._journal.read()

    def checkpoints(self) -> list[Checkpoint]:
        """List the complete checkpoints, by step."""
        return list_checkpoints(self.folder / "checkpoints")

    def latest(self) -> Checkpoint | None:
        """Give the newest complete checkpoint."""
        found = self.checkpoints()
        return found[-1] if found else None

    # ---------------------------------------------------------------- what the loop calls

    def restore(self, learner: Learner, optimizer: optim.Optimizer | None) -> int:
        """Bring learner and optimizer to the newest checkpoint and remember them for saving.

        Args:
            learner: what is trained.
            optimizer: its optimizer, before an engine wraps it; None where nothing is trained.

        Returns:
            Optimizer steps made so far: 0 in a fresh folder.

        Raises:
            RunError: the checkpoint is damaged or belongs to other parameters.
        """
        self._learner, self._optimizer = learner, optimizer
        newest = self.latest()
        if newest is None:
            return 0
        try:
            learner.restore(Identity.load(newest.identity).tensors)
        except WeightsError as error:
            raise RunError(
                error.found, "a whole checkpoint", f"remove {newest.folder} to go on from an older one"
            ) from error
        if optimizer is not None:
            unpack_state(optimizer, learner.trainable(), read_optimizer(newest))
        return newest.step

    def reach(self, stepped: Stepped) -> None:
        """Take note that a step was made, so that an interrupt before it was told loses nothing."""
        self._reached = stepped

    def save(self, step: int, *, due: bool = True) -> Path:
        """Write a checkpoint of the learner and optimizer that `restore` was given; a complete one is left alone.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        folder = self.folder / "checkpoints" / f"{step:06d}"
        there = read_checkpoint(folder)
        if not self._writes or (there is not None and (there.due or not due)):
            return folder
        if there is not None:
            return self._now_due(there)
        assert self._learner is not None, "nothing to save: restore() comes first"
        parameters: Mapping[str, nn.Parameter] = self._learner.trainable()
        state = pack_state(self._optimizer, parameters) if self._optimizer else {}
        length = self._journal.settled_length()
        write_checkpoint(folder, self._learner.identity(), state, step=step, due=due, events_bytes=length)
        return folder

    def _now_due(self, checkpoint: Checkpoint) -> Path:
        """An interruption's checkpoint turned out to stand where one is due: only its label changes."""
        path = checkpoint.folder / "done.json"
        write_json(path, {**read_json(path), "due": True})
        return replace(checkpoint, due=True).folder

    def keep_images(self, step: int, images: Sequence[Image], captions: Sequence[str]) -> Path:
        """Write preview pictures and their prompts.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        folder = self.folder / "previews" / f"{step:06d}"
        if not self._writes:
            return folder
        for index, image in enumerate(images):
            with writing(folder / f"{index:02d}.png") as draft:
                image.save(draft, "PNG")
        write_json(folder / "captions.json", list(captions))
        return folder

    # ---------------------------------------------------------------- what the flow calls

    def tell(self, event: Event) -> None:
        """Write one event down."""
        if not self._writes:
            return
        with uninterrupted():
            self._journal.append(event)
            if isinstance(event, Stepped):
                self._told = event.step

    def record(self, events: Iterator[Event]) -> Generator[Event, None, Any]:
        """Write each event down and pass it on; the value is that of `events`."""
        try:
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    return end.value
                self.tell(event)
                yield event
        finally:
            if isinstance(events, Generator):
                events.close()

    def keep(self, step: int, facts: Mapping[str, Any]) -> Path:
        """Make a checkpoint's identity the result of the run.

        Args:
            step: a complete checkpoint's.
            facts: what else its header shall say: recipe hash, scores, licence.

        Raises:
            RunError: there is no complete checkpoint of that step.
        """
        path = self.folder / "identity.safetensors"
        if not self._writes:
            return path
        chosen = read_checkpoint(self.folder / "checkpoints" / f"{step:06d}")
        if chosen is None:
            known = ", ".join(str(checkpoint.step) for checkpoint in self.checkpoints()) or "none"
            raise RunError(
                f"{self.folder} has no checkpoint of step {step}",
                f"a complete one: {known}",
                "choose one of them, or train on",
            )
        identity = Identity.load(chosen.identity)
        return replace(identity, facts={**identity.facts, **_plain(facts), "step": step}).save(path)


def _hash(recipe: str, facts: Mapping[str, Any]) -> str:
    return facts.get("recipe_hash") or sha256_of([recipe])


def _plain(value: Any) -> Any:
    """Give what a value looks like after a journey through JSON."""
    import json

    return json.loads(json.dumps(value, default=str))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
