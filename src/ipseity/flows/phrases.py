"""Ask a language model for the phrases of a class and write them as a bank that regularization sets may name."""

from collections.abc import Generator
from pathlib import Path

from ipseity.core.events import Event, Noticed, Wrote
from ipseity.data.inquiry import InquiryOptions, ask_phrases, save_bank
from ipseity.data.phrases import is_living
from ipseity.evaluation.plan import PICK_SCENES, SCORE_SCENES
from ipseity.evaluation.rewording import OTHER_WORDS


def phrases_flow(class_noun: str, options: InquiryOptions, folder: Path) -> Generator[Event, None, Path]:
    """Ask slot by slot; what was answered before is not asked again.

    Args:
        class_noun: what the subject is.
        options: who is asked, and for how many.
        folder: where the bank goes, and the answers beside it.

    Returns:
        The bank's path.

    Raises:
        RecipeError, RunError, WeightsError: as `ask_phrases`.
    """
    # scenes that pick or score must not be practised
    held_out = (*PICK_SCENES, *SCORE_SCENES, *(tail for told in OTHER_WORDS.values() for tail in told))
    living, answers = is_living(class_noun), folder / "answers"
    bank = yield from ask_phrases(class_noun, living=living, options=options, folder=answers, held_out=held_out)
    path = folder / f"{'-'.join(class_noun.lower().split())}.json"
    save_bank(bank, path)
    yield Wrote("phrase bank", path)
    yield Noticed(f"To use it: --set regularization.bank={path}")
    return path
