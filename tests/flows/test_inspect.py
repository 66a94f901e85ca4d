"""What is told of a picture or an identity, and what strangers' files come to."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ipseity.core.errors import Refusal, RunError, WeightsError
from ipseity.core.identity import FORMAT, Attachment, Identity
from ipseity.flows import credentials, signing
from ipseity.flows.consent import consent_facts
from ipseity.flows.generate import seal_for, write_picture
from ipseity.flows.inspect import NOTHING, inspect_file
from ipseity.flows.provenance import Seal, open_seal
from tests.fixtures.bad_images import READ, REFUSED, photo

signs = pytest.mark.skipif(not signing.can_sign(), reason="cryptography is not installed")
TOLERATED = {"tiny.png", "flat.png"}
"""What photos may not be and pictures may."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"IPSEITY_CONFIG": str(tmp_path / "config")}


def learned(**changes: Any) -> Identity:
    about = {"base": "tiny", "base_fingerprint": "f" * 64, "method": "lora", "token": "sks", "class_noun": "mug"}
    facts = {"recipe_hash": "abc", "photos": {"a.png": "0" * 64}, "step": 5, "base_licence": "Apache-2.0"}
    return Identity(**{"tensors": {"x": torch.ones(2, 2)}, **about, "facts": facts, **changes})


def drawn(tmp_path: Path, environment: Mapping[str, str], identity: Identity | None = None) -> Path:
    identity = identity or learned()
    base = SimpleNamespace(name="tiny", fingerprint=lambda: "f" * 64, licence="Apache-2.0")
    seal = seal_for(base, [Attachment(identity, 0.5)], environment)
    facts = {"prompt": "a photo of a sks mug", "seed": 7, "num_inference_steps": 2}
    return write_picture(tmp_path / "picture.png", photo(), facts, identity, seal)


def said(data: Mapping[str, Any]) -> str:
    return " ".join(data["verdict"])


@signs
def test_our_own_picture(tmp_path: Path, environment: dict[str, str]) -> None:
    identity = learned(facts={**learned().facts, **consent_facts("Ada agreed")})
    data = inspect_file(drawn(tmp_path, environment, identity), environment)
    assert "your own key" in said(data) and "pixels are those" in said(data)
    assert data["text"]["signer"] == "own" and data["text"]["pixels_same"]
    facts = data["facts"]
    assert facts["base"] == {"name": "tiny", "fingerprint": "f" * 64, "licence": "Apache-2.0"}
    assert facts["asked"]["seed"] == 7 and facts["asked"]["prompt"] == "a photo of a sks mug"
    (told,) = facts["identities"]
    identity.save(tmp_path / "identity.safetensors")
    assert told["sha256"] == inspect_file(tmp_path / "identity.safetensors")["sha256"], "a picture names its identity"
    assert told["consent"] == "noted" and told["scale"] == 0.5 and told["recipe_hash"] == "abc"
    assert "Ada" not in json.dumps(facts), "who agreed is told by the identity alone"
    assert json.loads(data["words"]["parameters"])["seed"] == 7


@signs
def test_somebody_elses_picture(tmp_path: Path, environment: dict[str, str]) -> None:
    path = drawn(tmp_path, environment)
    data = inspect_file(path, {"IPSEITY_CONFIG": str(tmp_path / "other")})
    assert "not yours" in said(data) and data["text"]["signer"] == "other"
    assert not (tmp_path / "other").exists(), "looking makes no key"


@signs
@pytest.mark.skipif(not credentials.can_credential(), reason="c2pa-python is not installed")
def test_a_picture_that_was_changed(tmp_path: Path, environment: dict[str, str]) -> None:
    path = drawn(tmp_path, environment)
    assert inspect_file(path, environment)["content_credentials"]["state"] == "signed"
    data = bytearray(path.read_bytes())
    data[-12:-12] = b"\x00\x00\x00\x00tEXt" + (0x3D7F2C51).to_bytes(4, "big")  # an empty chunk before the last
    path.write_bytes(data)
    told = inspect_file(path, environment)
    assert told["content_credentials"]["state"] == "broken" and "not its pixels" in said(told)
    with Image.open(path) as image:
        image.load()
    image.save(path)  # drops all that is told
    assert inspect_file(path, environment)["verdict"] == [NOTHING]


def test_facts_without_a_signature_are_called_so(tmp_path: Path) -> None:
    path = Seal("1").write(tmp_path / "x.png", photo(), {"prompt": "p"}, {})
    assert "anybody can write" in said(inspect_file(path))
    write_picture(path, photo(), {"prompt": "p"}, learned())
    told = inspect_file(path)
    assert told["text"] is None and "unsigned words" in said(told) and "sks" in told["words"]["ipseity"]


@pytest.mark.parametrize("name", ["cmyk.jpg", "palette.png", "rgba.png", "moving.webp", "sideways.jpg"])
def test_pictures_from_elsewhere(tmp_path: Path, name: str) -> None:
    READ[name][0](tmp_path / name)
    told = inspect_file(tmp_path / name)
    assert told["verdict"] == [NOTHING] and told["content_credentials"] is None and told["facts"] == {}


def test_unsigned_words_of_other_programs(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0131] = "Some Program 3"
    photo().save(tmp_path / "a.jpg", exif=exif)
    assert inspect_file(tmp_path / "a.jpg")["words"] == {"program": "Some Program 3"}
    xmp = b'<rdf:Description Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    photo().save(tmp_path / "b.webp", xmp=xmp)
    assert "a trained model made it" in said(inspect_file(tmp_path / "b.webp"))


@pytest.mark.parametrize("name", sorted(set(REFUSED) - TOLERATED - {"bomb.png"}))
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str) -> None:
    REFUSED[name](tmp_path / name)
    with pytest.raises(Refusal) as refusal:
        inspect_file(tmp_path / name)
    assert refusal.value.exit_code == 2 and refusal.value.todo


def test_a_text_chunk_that_unpacks_to_far_too_much_is_refused(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("ipseity.provenance", "x" * 3_000_000, zip=True)
    photo().save(tmp_path / "huge.png", pnginfo=info)
    assert (tmp_path / "huge.png").stat().st_size < 60_000
    with pytest.raises(Refusal, match="broken"):
        inspect_file(tmp_path / "huge.png")


def test_garbage_where_credentials_should_be(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add(b"caBX", b"\x00\x00\x00\xffjumb" + b"c2pa" * 50)
    photo().save(tmp_path / "x.png", pnginfo=info)
    told = inspect_file(tmp_path / "x.png")
    assert told["content_credentials"]["state"] == "unreadable" and "not read" in said(told)


def test_an_identity(tmp_path: Path) -> None:
    consent = consent_facts("portraits for the school play", by="Ada")
    face = learned(
        method="instantid", class_noun="person", tensors={"embedding": torch.ones(4)}, facts={"base_licence": "X", **consent}
    )  # fmt: skip
    face.save(tmp_path / "identity.safetensors")
    told = inspect_file(tmp_path)
    assert told["holds_face"] and told["licence"] == "X" and told["consent"]["by"] == "Ada"
    assert "personal data" in said(told) and "school play" in said(told)
    learned().save(tmp_path / "identity.safetensors")
    told = inspect_file(tmp_path / "identity.safetensors")
    assert not told["holds_face"] and told["consent"] is None and told["photos"] == 1 and told["facts"]["step"] == 5
    assert "onsent" not in said(told), "a mug need not agree"
    learned(class_noun="old woman").save(tmp_path / "identity.safetensors")
    assert "No consent is noted" in said(inspect_file(tmp_path))


@pytest.mark.parametrize(
    "header",
    [
        {}, {"format": "other"}, {"format": FORMAT}, {"format": FORMAT, "options": "{"},
        {"format": FORMAT, "options": "[" * 50_000, "facts": "{}"}, {"format": FORMAT, "options": "{}", "facts": "[3]"},
    ],
)  # fmt: skip
def test_a_stranger_s_identity_is_refused(tmp_path: Path, header: dict[str, str]) -> None:
    words = (
        dict.fromkeys(("base", "base_fingerprint", "method", "token", "class_noun"), " ") if "options" in header else {}
    )
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors", {**words, **header})
    with pytest.raises(WeightsError):
        inspect_file(tmp_path / "x.safetensors")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(RunError):
            inspect_file(path)
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError):
        inspect_file(tmp_path / "x.safetensors")


def test_seals_follow_the_users_wishes(tmp_path: Path, environment: dict[str, str]) -> None:
    private = {**environment, "IPSEITY_PROVENANCE": "hide-prompts"}
    path = drawn(tmp_path, private)
    assert b"a photo of" not in path.read_bytes()
    assert open_seal("1", {"IPSEITY_PROVENANCE": "unsigned"}).key is None
