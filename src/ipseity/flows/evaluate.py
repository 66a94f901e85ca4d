"""Score the picked checkpoint with evaluators, prompts, seeds and photos that did not pick it, and write the report."""

import shlex
from collections.abc import Generator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ipseity.core.drawing import draw, pipeline_for
from ipseity.core.events import Event, Noticed, Progressed, Wrote
from ipseity.core.identity import Attachment, Identity
from ipseity.core.types import Photo
from ipseity.data.synthesis import read_set
from ipseity.evaluation.flags import Flag, leaking, memorized
from ipseity.evaluation.paraphrases import COMPARED, compare, tell
from ipseity.evaluation.pick import Choice
from ipseity.evaluation.plan import SCORE_SEED, Paraphrases, Plan, plan_paraphrases
from ipseity.evaluation.report import BeforeAfter, Report, Sample, Shown, write_report
from ipseity.evaluation.suite import ceiling, means, score
from ipseity.evaluation.table import Row, tabulate, verdict
from ipseity.flows.judge import Bench, draw_bare, gallery, make_bench
from ipseity.flows.setting import Setting, load_encoders
from ipseity.training.run import Run


def evaluate_flow(setting: Setting, run: Run, *, choice: Choice | None = None) -> Generator[Event, None, Path]:
    """Draw with the kept identity and with the bare base at the same seeds, score both, and write the report.

    Args:
        setting: recipe, base, subject.
        run: a run that kept an identity.
        choice: the pick with its reasons, where it was made just now; else it is read back from the identity.

    Returns:
        The report's path.
    """
    recipe, base = setting.recipe, setting.base
    identity = Identity.load(run.folder / "identity.safetensors")
    bench = make_bench(setting, scenes=recipe.evaluate.score_scenes, first_seed=SCORE_SEED, photos=setting.split.score)
    before = yield from draw_bare(setting, bench.subject, "pictures of the untrained base")
    class_before = yield from draw_bare(setting, bench.class_only, "class word, untrained")
    with recipe.method.plugin.attach(base, [Attachment(identity)]):
        after = yield from _draw(setting, bench.subject, "pictures of the subject")
        class_after = yield from _draw(setting, bench.class_only, "class word, trained")
        asked = _other_words(setting)
        retold = (yield from _draw(setting, asked.plan, "pictures from other words")) if asked else []

    encoders, missing = load_encoders(recipe.evaluate.score, setting.engine.device)
    yield from (Noticed(word) for word in missing)
    drawn, bared = gallery(bench.subject, after), gallery(bench.subject, before)
    metrics = [name for name in recipe.evaluate.metrics if name != "leakage"]
    scores = score(drawn, bench.references, encoders, metrics)
    bare_scores = score(bared, bench.references, encoders, metrics)
    leaked = score(gallery(bench.class_only, class_after, class_before), bench.references, encoders, ["leakage"])
    real = ceiling(bench.references, encoders, metrics)
    reach = ceiling(bench.references, encoders, metrics, decoded=True)
    rows = tabulate(scores, bare_scores, real, role="score", reach=reach, prompts=bench.subject.prompts)
    rows += tabulate(leaked, {}, {}, role="score", prompts=bench.class_only.prompts)
    if asked:
        reworded = score(gallery(asked.plan, retold), bench.references, encoders, COMPARED)
        changes = compare(scores, reworded, asked)
        yield from (Noticed(line) for line in tell(changes))
        rows += changes
    flags = tuple(
        flag for flag in (memorized(scores), leaking(leaked, means(bare_scores), means(reach))) if flag is not None
    )
    pairs = _pairs(bench, before, after)
    report = _report(setting, run, identity, (rows, flags, pairs, choice or _kept_choice(identity), missing))
    path = write_report(run.folder / "report", report)
    yield Noticed(report.verdict)
    yield Wrote("report", path)
    return path


def _draw(setting: Setting, plan: Plan, what: str) -> Generator[Event, None, list[Image]]:
    images: list[Image] = []
    for some in draw(pipeline_for(setting.base, setting.recipe.draw), plan.prompts, plan.seeds, setting.recipe.draw):
        images += some
        yield Progressed(what, len(images), len(plan.prompts))
    return images


def _other_words(setting: Setting) -> Paraphrases | None:
    """Lay out the scored scenes in other words, where the recipe asks for them."""
    subject, options = setting.subject, setting.recipe.evaluate
    if not options.paraphrases:
        return None
    scenes, shots = options.score_scenes, options.images_per_scene
    noun = subject.class_noun
    return plan_paraphrases(subject.phrase, noun, scenes, images_per_scene=shots, first_seed=SCORE_SEED)


def _pairs(bench: Bench, before: Sequence[Image], after: Sequence[Image]) -> tuple[BeforeAfter, ...]:
    plan = bench.subject
    return tuple(BeforeAfter(*row) for row in zip(plan.prompts, plan.seeds, before, after, strict=True))


def _kept_choice(identity: Identity) -> Choice:
    return Choice(int(identity.facts["step"]), str(identity.facts["reason"]), tuple(identity.facts.get("front", ())))


def _report(
    setting: Setting,
    run: Run,
    identity: Identity,
    found: tuple[tuple[Row, ...], tuple[Flag, ...], tuple[BeforeAfter, ...], Choice, Sequence[str]],
) -> Report:
    rows, flags, pairs, choice, missing = found
    recipe, subject = setting.recipe, setting.subject
    told = run.events()
    set_pairs = read_set(setting.set_folder) if setting.requests else []
    return Report(
        subject=subject.name,
        verdict=verdict(rows, flags, what=f"this {subject.class_noun}"),
        facts={
            "Class": subject.class_noun, "Token": subject.token, "Base": recipe.base.name, "Method": recipe.method.name,
            "Captions": recipe.captions.name, "Regularization": recipe.regularization.name, "Date": date.today().isoformat(),
        },
        pairs=pairs,
        photos=_photos(setting),
        samples=tuple(Sample(image, request.prompt) for request, image in set_pairs),
        samples_total=len(set_pairs),
        losses=_losses(told),
        saves=tuple((record["step"], record["scores"]) for record in told if record["event"] == "Scored"),
        keys=(f"identity/{recipe.evaluate.pick}", f"prompt_fidelity/{recipe.evaluate.pick}"),
        untrained=identity.facts.get("untrained", {}),
        real=identity.facts.get("real", {}),
        choice=choice,
        rows=rows,
        flags=flags,
        notes=(*subject.findings, *setting.split.notes, *_told_notes(told, subject.findings, setting.split.notes), *missing),
        repeat=(f"ipseity synthesize {_quoted(run.folder / 'recipe.toml')}", f"ipseity train {_quoted(run.folder / 'recipe.toml')}"),
        use=(
            f'ipseity generate {_quoted(run.folder)} "a photo of a {subject.phrase} on the beach" -n 4',
            *(f"ipseity export {_quoted(run.folder)} --to {form}" for form in sorted(recipe.method.plugin.exports)),
        ),
        provenance=_provenance(setting, identity, run),
    )  # fmt: skip


def _photos(setting: Setting) -> tuple[Shown, ...]:
    captions = {id(example.image): example.captions for example in setting.examples}

    def shown(photos: Sequence[Photo], role: Any) -> list[Shown]:
        return [Shown(photo.image, role, captions.get(id(photo.image), ())) for photo in photos]

    split = setting.split
    return (*shown(split.train.photos, "train"), *shown(split.pick, "pick"), *shown(split.score, "score"))


def _losses(told: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Curves of the losses; each point is the mean of a twentieth of the run, since single steps are mostly chance."""
    steps = [record for record in told if record["event"] == "Stepped"]
    names = list(dict.fromkeys(name for record in steps for name in record["losses"]))
    width = max(1, len(steps) // 20)
    curves: dict[str, list[tuple[int, float]]] = {}
    for name in names:
        points = [(record["step"], record["losses"][name]) for record in steps if name in record["losses"]]
        groups = [points[start : start + width] for start in range(0, len(points), width)]
        curves[name] = [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
    return curves


def _told_notes(told: Sequence[dict[str, Any]], *known: Sequence[str]) -> list[str]:
    said = {line for lines in known for line in lines}
    return [line for record in told if record["event"] == "Noticed" and (line := record["message"]) not in said]


def _provenance(setting: Setting, identity: Identity, run: Run) -> dict[str, str]:
    manifest = run.manifest()
    return {
        "ipseity": str(manifest.get("code_version", "")),
        "Recipe": setting.recipe.hash(),
        "Base weights": identity.base_fingerprint,
        "Licence of the base": setting.base.licence,
        "Regularization set": setting.set_folder.name if setting.requests else "none",
        "Seed": str(setting.recipe.general.seed),
        "Photos": ", ".join(f"{photo.path.name} {photo.sha256[:12]}" for photo in setting.subject.photos),
        "Evaluators": f"{setting.recipe.evaluate.pick} picked; {', '.join(setting.recipe.evaluate.score)} score",
    }


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
