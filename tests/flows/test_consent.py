"""Notes of consent: what is stored, and who is reminded."""

from datetime import date

import pytest
import torch

from ipseity.core.errors import RecipeError
from ipseity.flows.consent import consent_facts, consent_of, consent_reminder, holds_face, shows_person


def test_a_note_is_stored_with_its_date_and_read_back() -> None:
    facts = consent_facts("  by letter:\n portraits ", by="Ada", recorded=date(2026, 11, 2))
    assert facts == {"consent": {"by": "Ada", "note": "by letter: portraits", "recorded": "2026-11-02"}}
    assert consent_of(facts) == facts["consent"]
    assert consent_facts(None) == {} and consent_of({}) is None and consent_of({"consent": "yes"}) is None


@pytest.mark.parametrize("note", ["", "   ", "x" * 2001])
def test_an_empty_or_endless_note_is_refused(note: str) -> None:
    with pytest.raises(RecipeError, match="consent note"):
        consent_facts(note)


@pytest.mark.parametrize(
    ("noun", "method", "reminds"),
    [
        ("mug", "lora", False), ("dog", "lora", False), ("woman", "lora", True), ("old man", "lora", True),
        ("mug", "instantid", True), ("mug", "unknown", False), ("", "lora", False),
    ],
)  # fmt: skip
def test_who_is_reminded(noun: str, method: str, reminds: bool) -> None:
    assert (consent_reminder(noun, method, None) is not None) == reminds
    assert consent_reminder(noun, method, {"note": "yes"}) is None


def test_measures_of_a_face_are_known_as_such() -> None:
    assert holds_face("instantid", {}) and holds_face("not-installed", {"embedding": torch.ones(1)})
    assert not holds_face("lora", {"unet.attn.lora_A.weight": torch.ones(1)})
    assert shows_person("young woman") and not shows_person("toy dog")
