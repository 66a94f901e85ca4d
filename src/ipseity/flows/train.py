"""From photos to an identity: the whole of personalization, in order."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ipseity.core.events import Event, Forecast, Measured, Noticed, Picked, Stepped, Wrote
from ipseity.core.types import Example
from ipseity.data.batches import prepare_batches
from ipseity.data.synthesis import read_set, tell_left_out
from ipseity.data.tokenless import add_tokenless
from ipseity.evaluation.metrics.parts.looking import BATCH, LARGEST_SIDE_PX
from ipseity.evaluation.pick import Choice
from ipseity.flows.consent import consent_facts, consent_of, consent_reminder
from ipseity.flows.judge import Judge, judge_plan, need_picker, take_before
from ipseity.flows.setting import Setting, fact_sheet, load_encoders, method_encoders
from ipseity.training.forecast import forecast, looking_bytes, peak_gib
from ipseity.training.loop import PreviewPlan, fit
from ipseity.training.penalized import penalized
from ipseity.training.run import Run


def train_flow(setting: Setting, run: Run) -> Generator[Event, None, Choice | None]:
    """Train in a run folder, or go on where it was left, and keep the best checkpoint.

    Of several processes only the main one draws, scores, writes and has a choice to return.

    Raises:
        MissingPackage: the evaluator that picks is not installed.
        RunError: the set is not complete (the message has the command), or the folder belongs to another recipe.
        Diverged: the loss is no longer finite.
    """
    recipe, engine = setting.recipe, setting.engine
    need_picker(recipe)
    pairs = read_set(setting.set_folder) if setting.requests else []
    shown = recipe.regularization.plugin.gather(pairs, recipe.regularization.options)
    bench = judge_plan(setting)
    with run.open(recipe.to_toml(), dict(fact_sheet(setting)), is_main=engine.is_main):
        before = yield from take_before(setting, bench)
        learner = _begun(setting)
        try:
            yield from run.record(iter([Noticed(note) for note in getattr(learner, "notes", ())]))
            taught = penalized(learner, recipe.regularization.plugin, recipe.regularization.options)
            batches = yield from _prepared(setting, learner, shown)
            judge = Judge(setting, learner, run, bench=bench, before=before)
            expected = _expected(setting, taught, batches, judge.encoders)
            yield from run.record(iter((*_notes(setting, batches), expected)))
            events = fit(
                taught, batches, engine, run, recipe.fit,
                seed=recipe.general.seed, previews=_previews(setting), should_stop=judge.settled,
            )  # fmt: skip
            told = run.record(judge.score_each_save(events) if engine.is_main else events)
            steps: list[Stepped] = []
            for event in told:
                steps += [event] if isinstance(event, Stepped) else []
                yield event
            if not engine.is_main:
                return None
            choice = judge.pick()
            yield from run.record(
                iter((Picked(choice.step, choice.reason), *_measured(setting, steps, expected, batches)))
            )
            kept = run.keep(choice.step, {**fact_sheet(setting), **judge.facts(choice)})
            yield from run.record(iter((Wrote("identity", kept),)))
        finally:
            learner.close()
    return choice


def _begun(setting: Setting) -> Any:
    recipe = setting.recipe
    encoders = method_encoders(recipe, setting.engine.device)
    return recipe.method.plugin.begin(setting.base, setting.split.train, encoders, recipe.method.options)


def _prepared(setting: Setting, learner: Any, shown: Sequence[Example]) -> Generator[Event, None, Any]:
    """Encode all that a step shows, with the captions that the regularization's loss is asked under."""
    recipe, base, cache_text = setting.recipe, setting.base, not learner.trains_text
    batches = yield from prepare_batches(
        base, setting.examples, shown, recipe.data, cache_text=cache_text, seed=recipe.general.seed
    )
    return (yield from add_tokenless(base, batches, setting.wordings, cache_text=cache_text))


def _notes(setting: Setting, batches: Any) -> Sequence[Event]:
    fit = setting.recipe.fit
    told = batches.tell(fit.max_train_steps, fit.accumulate, setting.engine.world)
    recipe = setting.recipe
    noted = consent_of(consent_facts(recipe.subject.consent))
    reminder = consent_reminder(setting.subject.class_noun, recipe.method.name, noted)
    left_out = tell_left_out(setting.set_folder) if setting.requests else ""
    words = [*setting.subject.findings, *setting.split.notes, left_out, told, reminder]
    return [Noticed(word) for word in words if word]


def _previews(setting: Setting) -> PreviewPlan:
    plan = judge_plan(setting).subject
    return PreviewPlan(plan.prompts[:4], plan.seeds[:4], setting.recipe.draw)


def _measured(setting: Setting, steps: Sequence[Stepped], expected: Any, batches: Any) -> list[Measured]:
    """Tell what the steps of this process took; nothing where a finished run was opened again."""
    seconds, engine = sum(step.seconds for step in steps), setting.engine
    images = len(steps) * batches.images_per_step * setting.recipe.fit.accumulate * engine.world
    return [Measured(peak_gib(engine.device), expected.peak_gib, seconds, images / seconds)] if seconds else []


def _expected(setting: Setting, learner: Any, batches: Any, encoders: Mapping[str, Any]) -> Forecast:
    """Forecast the memory of training, of drawing and of scoring by the evaluators that are loaded."""
    recipe, base = setting.recipe, setting.base
    largest = max(base.resolution, *(max(photo.image.size) for photo in setting.subject.photos))
    looking = looking_bytes(encoders.values(), rows=BATCH, side=min(largest, LARGEST_SIDE_PX))
    first = next(iter(batches.at(0, 1)))
    return forecast(base, learner, recipe.fit, batch=first, draw=recipe.draw, looking=looking)


def forecast_flow(setting: Setting) -> Generator[Event, None, None]:
    """Tell what a run would do and need, scoring and report with it, and make nothing but the caches in memory."""
    recipe = setting.recipe
    need_picker(recipe)
    learner = _begun(setting)
    try:
        taught = penalized(learner, recipe.regularization.plugin, recipe.regularization.options)
        stand_in = tuple(replace(example, is_subject=False) for example in setting.examples if setting.requests)
        batches = yield from _prepared(setting, learner, stand_in)
        yield from (Noticed(word) for word in (*setting.subject.findings, *setting.split.notes))
        yield Noticed(f"Captions such as: {setting.examples[0].captions[0]}")
        yield Noticed(f"{len(setting.requests)} regularization pictures would be drawn into {setting.set_folder}.")
        encoders, missing = load_encoders((recipe.evaluate.pick, *recipe.evaluate.score), setting.engine.device)
        yield from (Noticed(word) for word in missing)
        yield _expected(setting, taught, batches, encoders)
    finally:
        learner.close()
