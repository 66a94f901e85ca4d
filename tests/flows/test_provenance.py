"""Facts inside pictures: they read back, they hold, and every change is seen."""

import io
import json
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ipseity.core.errors import MissingPackage, RecipeError, RunError
from ipseity.flows import credentials, provenance, signing
from ipseity.flows.credentials import add_credentials, read_credentials
from ipseity.flows.provenance import CHUNK, Seal, identity_hash, open_seal, read_statement
from ipseity.flows.signing import FILE, config_folder, known_key, own_key

signs = pytest.mark.skipif(not signing.can_sign(), reason="cryptography is not installed")
credits_ = pytest.mark.skipif(not credentials.can_credential(), reason="c2pa-python is not installed")
ASKED = {"prompt": "a photo of a sks müg", "negative_prompt": "bläh", "seed": 3}


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"IPSEITY_CONFIG": str(tmp_path / "config")}


def made(tmp_path: Path, seal: Seal) -> Path:
    return seal.write(tmp_path / "picture.png", picture(), ASKED, {"parameters": "other programs read this"})


def loaded(path: Path) -> Image.Image:
    with Image.open(path) as file:
        file.load()
    return file


def saved_again(
    path: Path, image: Image.Image, chunk: str | None = None, extra: tuple[bytes, bytes] | None = None
) -> Image.Image:
    """What a program that keeps text chunks leaves."""
    info = PngInfo()
    info.add_itxt(CHUNK, chunk if chunk is not None else loaded(path).info[CHUNK])
    if extra:
        info.add(*extra)
    image.save(path, pnginfo=info)
    return loaded(path)


@signs
def test_facts_read_back_and_hold(tmp_path: Path, environment: dict[str, str]) -> None:
    seal = open_seal("1.2.3", environment)
    path = made(tmp_path, seal)
    told = read_statement(loaded(path))
    assert told is not None and told.signature == "holds" and told.pixels_same
    assert told.key == known_key(config_folder(environment)) is not None
    assert told.facts["asked"] == ASKED and told.facts["tool"] == {"name": "ipseity", "version": "1.2.3"}
    assert told.facts["generated"] is True and told.facts["made"]
    assert loaded(path).info["parameters"] == "other programs read this"
    assert loaded(path).tobytes() == picture().tobytes()


@signs
def test_the_key_is_made_once_and_is_the_users_alone(environment: dict[str, str]) -> None:
    folder = config_folder(environment)
    assert known_key(folder) is None and not folder.exists(), "asking makes nothing"
    first = own_key(folder)
    assert own_key(folder) == first
    assert [path.name for path in folder.iterdir()] == [FILE]
    if os.name == "posix":
        assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
        (folder / FILE).chmod(0o644)
        with pytest.raises(RunError, match="read by other users"):
            own_key(folder)
        seal = open_seal("1", environment)
        assert seal.key is None and "not signed" in seal.notes[0]


@signs
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----", b"garbage -----BEGIN CERT"])
def test_a_broken_key_is_a_sentence(environment: dict[str, str], content: bytes) -> None:
    folder = config_folder(environment)
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    (folder / FILE).chmod(0o600)
    with pytest.raises(RunError, match="cannot be read"):
        own_key(folder)


@signs
def test_a_place_that_cannot_be_written_leaves_pictures_unsigned(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    seal = open_seal("1", {"IPSEITY_CONFIG": str(tmp_path / "file" / "config")})
    assert seal.key is None and "IPSEITY_CONFIG" in seal.notes[0]
    told = read_statement(loaded(made(tmp_path, seal)))
    assert told is not None and told.signature == "none" and told.pixels_same and told.key is None


def edited(path: Path) -> Image.Image:
    image = loaded(path)
    image.putpixel((5, 5), (1, 2, 3))
    return saved_again(path, image)


def copied_to_another(path: Path) -> Image.Image:
    return saved_again(path, picture(1))


def brightened(path: Path) -> Image.Image:
    return saved_again(path, loaded(path), extra=(b"gAMA", (90_000).to_bytes(4, "big")))


def turned(path: Path) -> Image.Image:
    image, chunk, exif = loaded(path), loaded(path).info[CHUNK], Image.Exif()
    exif[0x0112] = 3
    info = PngInfo()
    info.add_itxt(CHUNK, chunk)
    image.save(path, pnginfo=info, exif=exif)
    return loaded(path)


def animated(path: Path) -> Image.Image:
    image, chunk = loaded(path), loaded(path).info[CHUNK]
    info = PngInfo()
    info.add_itxt(CHUNK, chunk)
    image.save(path, pnginfo=info, save_all=True, append_images=[picture(2)])
    return loaded(path)


@signs
@pytest.mark.parametrize("change", [edited, copied_to_another, brightened, turned, animated])
def test_other_pixels_are_seen(
    tmp_path: Path, environment: dict[str, str], change: Callable[[Path], Image.Image]
) -> None:
    told = read_statement(change(made(tmp_path, open_seal("1", environment))))
    assert told is not None and told.signature == "holds" and not told.pixels_same


@signs
def test_saving_it_again_unchanged_keeps_it_true(tmp_path: Path, environment: dict[str, str]) -> None:
    path = made(tmp_path, open_seal("1", environment))
    told = read_statement(saved_again(path, loaded(path)))
    assert told is not None and told.signature == "holds" and told.pixels_same


@signs
def test_other_facts_are_seen(tmp_path: Path, environment: dict[str, str]) -> None:
    path = made(tmp_path, open_seal("1", environment))
    chunk = json.loads(loaded(path).info[CHUNK])
    chunk["facts"]["generated"] = False
    told = read_statement(saved_again(path, loaded(path), json.dumps(chunk)))
    assert told is not None and told.signature == "broken"
    ours = known_key(config_folder(environment))
    stranger = own_key(config_folder({"IPSEITY_CONFIG": str(tmp_path / "stranger")}))
    forged = Seal("1", stranger).write(path, picture(), ASKED, {})
    told = read_statement(loaded(forged))
    assert told is not None and told.signature == "holds" and told.key not in (None, ours), "another's key is not ours"


@pytest.mark.parametrize(
    "chunk",
    [
        "", "no json", "[]", "3", "null", "{}", '{"facts": 3, "signed": "no"}', '{"facts": {}, "signed": "no"}',
        '{"facts": {"pixels": 1}, "signed": "ed25519", "key": "?", "signature": ""}',
        '{"facts": {"pixels": NaN}, "signed": "ed25519", "key": "", "signature": ""}',
        '{"facts": {"pixels": 1}, "signed": "ed25519", "key": 5, "signature": []}', "[" * 100_000,
    ],
)  # fmt: skip
def test_nonsense_never_holds(tmp_path: Path, chunk: str) -> None:
    told = read_statement(saved_again(tmp_path / "x.png", picture(), chunk))
    assert told is not None and told.signature != "holds" and not told.pixels_same
    assert read_statement(picture()) is None


def test_private_prompts_are_nowhere_in_the_file(tmp_path: Path, environment: dict[str, str]) -> None:
    seal = open_seal("1", {**environment, "IPSEITY_PROVENANCE": "hide-prompts"})
    path = made(tmp_path, seal)
    data = path.read_bytes()
    assert not any(word in data for word in (b"sks", "müg".encode(), b"m\\u00fcg", b"bl\\u00e4h", "bläh".encode()))
    told = read_statement(loaded(path))
    assert told is not None and told.facts["asked"]["seed"] == 3 and len(told.facts["asked"]["prompt_sha256"]) == 64


def test_wishes_are_checked(environment: dict[str, str]) -> None:
    assert open_seal("1", {**environment, "IPSEITY_PROVENANCE": " unsigned ,hide-prompts"}) == Seal(
        "1", hide_prompts=True
    )
    with pytest.raises(RecipeError, match="hide-promts"):
        open_seal("1", {**environment, "IPSEITY_PROVENANCE": "hide-promts"})


@signs
def test_without_the_packages_less_is_signed_and_it_is_said(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "can_credential", lambda: False)
    signed = open_seal("1", environment)
    assert signed.key and not signed.credentials and "content credentials" in signed.notes[0]
    path = made(tmp_path, signed)
    monkeypatch.setattr(signing, "can_sign", lambda: False)
    bare = open_seal("1", environment)
    assert bare.key is None and "ipseity[provenance]" in bare.notes[0]
    told = read_statement(loaded(path))
    assert told is not None and told.signature == "unchecked" and told.pixels_same


def test_where_the_users_own_files_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing.sys, "platform", "linux")
    assert config_folder({"XDG_CONFIG_HOME": "/x"}) == Path("/x/ipseity")
    assert config_folder({}) == Path.home() / ".config" / "ipseity"
    assert config_folder({"XDG_CONFIG_HOME": "/x", "IPSEITY_CONFIG": "/mine"}) == Path("/mine")


@credits_
def test_content_credentials_say_the_same_and_hold(tmp_path: Path, environment: dict[str, str]) -> None:
    path = made(tmp_path, open_seal("1.2.3", environment))
    told = read_credentials(path.read_bytes(), "image/png")
    assert told is not None and told.state == "signed" and told.problems == ()
    assert told.generator == "ipseity 1.2.3" and told.sources == ("trainedAlgorithmicMedia",)
    statement = read_statement(loaded(path))
    assert statement is not None and told.facts == statement.facts
    assert statement.key is not None and statement.key in told.signer


@credits_
def test_content_credentials_see_one_changed_byte(tmp_path: Path, environment: dict[str, str]) -> None:
    path = made(tmp_path, open_seal("1", environment))
    data = bytearray(path.read_bytes())
    place = data.index(b"other programs")
    data[place] ^= 1
    end = data.index(b"this") + 4
    data[end : end + 4] = zlib.crc32(data[place - len(b"tEXtparameters\0") : end]).to_bytes(4, "big")
    Image.open(io.BytesIO(data)).load()
    told = read_credentials(bytes(data), "image/png")
    assert told is not None and told.state == "broken" and told.bytes_changed
    plain = io.BytesIO()
    picture().save(plain, "PNG")
    assert read_credentials(plain.getvalue(), "image/png") is None
    assert read_credentials(b"hello", "text/plain") is None


@credits_
def test_a_library_that_refuses_to_sign_costs_no_picture(tmp_path: Path, environment: dict[str, str]) -> None:
    seal = open_seal("1", environment)
    assert seal.key is not None
    worn = signing.SigningKey(seal.key.private_pem, b"no certificate", seal.key.public)
    with pytest.raises(MissingPackage, match="refuses to sign"):
        add_credentials(b"no png", {}, worn, version="1")
    path = made(tmp_path, Seal("1", worn, credentials=True))
    told = read_statement(loaded(path))
    assert told is not None and told.signature == "holds" and told.pixels_same
    assert read_credentials(path.read_bytes(), "image/png") is None


def test_an_identity_is_hashed_by_what_it_holds() -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(2.0, dtype=torch.bfloat16)}
    known = identity_hash(tensors)
    assert known == identity_hash(dict(reversed(tensors.items())))
    changed = {**tensors, "a": tensors["a"] + 1e-3}
    others = (changed, {**tensors, "a": tensors["a"].view(3, 2)}, {**tensors, "b": tensors["b"].float()}, {"a": tensors["a"]})  # fmt: skip
    assert len({known, *(identity_hash(other) for other in others)}) == 5
