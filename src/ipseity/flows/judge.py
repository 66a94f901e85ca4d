"""Scores each checkpoint as it is saved and picks the one to keep: where training and evaluation meet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipseity.core.events import Event, Noticed, Saved, Scored
from ipseity.core.identity import Identity
from ipseity.core.types import Gallery, Photo, References
from ipseity.evaluation.pick import Choice, pick, settled
from ipseity.evaluation.plan import LEAK_SEED, PICK_SEED, EvaluateOptions, Plan, plan
from ipseity.evaluation.suite import score
from ipseity.flows.setting import Setting, load_encoders


@dataclass(frozen=True)
class Bench:
    """Fixed prompts and seeds, and the photos that their pictures are held against."""

    subject: Plan
    """Prompts with the token."""
    class_only: Plan
    """The class noun without the token: what the base should draw as before."""
    references: References


def make_bench(setting: Setting, *, scenes: Sequence[str], first_seed: int, photos: Sequence[Photo]) -> Bench:
    """Lay out the prompts; where no photo was held out, the training photos serve as references."""
    subject, options = setting.subject, setting.recipe.evaluate
    held = tuple(photos) or setting.split.train.photos
    references = References(
        tuple(photo.image for photo in held),
        tuple(photo.mask for photo in held),
        tuple(photo.image for photo in setting.split.train.photos),
    )
    shots = options.images_per_scene
    return Bench(
        plan(subject.phrase, subject.class_noun, scenes, images_per_scene=shots, first_seed=first_seed),
        plan(subject.class_noun, subject.class_noun, scenes, images_per_scene=1, first_seed=first_seed + LEAK_SEED),
        references,
    )


def gallery(drawn: Plan, images: Sequence[Any], before: Sequence[Any] = ()) -> Gallery:
    """Bind pictures to the words they are held against."""
    return Gallery(tuple(images), drawn.meanings, drawn.seeds, tuple(before))


class Judge:
    """Scores checkpoints with the evaluator that picks; the evaluators that score are never asked here.

    Args:
        setting: recipe, base, subject.
        learner: what is being trained; it draws with the pipeline that users run.
        run: the folder, for checkpoints that were saved but not scored before an interruption.
        before: pictures of the class noun alone, drawn by the bare base on the same seeds.
    """

    def __init__(self, setting: Setting, learner: Any, run: Any, *, bench: Bench, before: Sequence[Any]) -> None:
        self.setting, self.learner, self.run, self.bench, self.before = setting, learner, run, bench, tuple(before)
        self.options: EvaluateOptions = setting.recipe.evaluate
        self.encoders, self.notes = load_encoders([self.options.pick], setting.engine.device)
        self.scored: list[tuple[int, Mapping[str, float]]] = [
            (record["step"], record["scores"]) for record in run.events() if record["event"] == "Scored"
        ]

    @property
    def keys(self) -> tuple[str, str]:
        """The two axes of the front: identity and prompt fidelity, under the picking evaluator."""
        return f"identity/{self.options.pick}", f"prompt_fidelity/{self.options.pick}"

    def settled(self) -> bool:
        """Whether the front has stopped moving, so that training may stop early."""
        return self.options.patience > 0 and settled(
            self.scored, identity_key=self.keys[0], fidelity_key=self.keys[1], patience=self.options.patience
        )

    def score_each_save(self, events: Iterator[Event]) -> Iterator[Event]:
        """Pass events on and add `Scored` after each `Saved`."""
        yield from (Noticed(note) for note in self.notes)
        done = {step for step, _ in self.scored}
        for checkpoint in self.run.checkpoints():
            if checkpoint.step not in done:  # saved, then interrupted before it was scored; the loop restores its own state afterwards
                self.learner.restore(Identity.load(checkpoint.folder / "identity.safetensors").tensors)
                yield self._score(checkpoint.step)
        result = yield from self._follow(events)
        return result

    def _follow(self, events: Any) -> Any:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            yield event
            if isinstance(event, Saved):
                yield self._score(event.step)

    def _score(self, step: int) -> Scored:
        bench, draw = self.bench, self.setting.recipe.draw
        drawn = self.learner.preview(bench.subject.prompts, bench.subject.seeds, draw)
        leaked = self.learner.preview(bench.class_only.prompts, bench.class_only.seeds, draw)
        metrics = [name for name in self.options.metrics if name != "leakage"]
        rows = score(gallery(bench.subject, drawn), bench.references, self.encoders, metrics)
        if "leakage" in self.options.metrics:
            rows |= score(gallery(bench.class_only, leaked, self.before), bench.references, self.encoders, ["leakage"])
        means = {name: float(values.mean()) for name, values in rows.items()}
        self.scored.append((step, means))
        return Scored(step, means)

    def scores_at(self, step: int) -> Mapping[str, float]:
        """Give the picking scores of a step."""
        return dict(self.scored)[step]

    def pick(self) -> Choice:
        """Choose the checkpoint to keep."""
        return pick(self.scored, identity_key=self.keys[0], fidelity_key=self.keys[1])


def judge_plan(setting: Setting) -> Bench:
    """Lay out what picks: its scenes, seeds and held-out photos are used for nothing else."""
    options = setting.recipe.evaluate
    return make_bench(setting, scenes=options.pick_scenes, first_seed=PICK_SEED, photos=setting.split.pick)
