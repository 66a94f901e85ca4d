"""What a picture or an identity says of itself, read back and checked. Nothing is changed and no network is asked."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import ExifTags
from PIL import Image as Pillow
from PIL.Image import Image

from ipseity.core.errors import RunError, SubjectError, WeightsError
from ipseity.core.identity import Identity
from ipseity.data.photos import FORMATS, read_photo
from ipseity.flows.consent import consent_of, consent_reminder, holds_face, shows_person
from ipseity.flows.credentials import Credentials, can_credential, may_hold_credentials, read_credentials
from ipseity.flows.provenance import Statement, identity_hash, read_statement
from ipseity.flows.signing import config_folder, known_key

KEPT = "identity.safetensors"
LONGEST = 2000
"""Letters that are given of another program's text chunk."""
NOTHING = (
    "Nothing in this file says what made it. That does not mean that it is a photograph, nor that it was not drawn here: "
    "most sites and programs drop such notes when they save, shrink or send a picture."
)
ANYBODY = "Whoever holds that key says so; who that is, nothing in the file proves."
_XMP_SOURCE = re.compile(rb"<[^>]{0,4000}DigitalSourceType[^<]{0,200}trainedAlgorithmicMedia")
_PROBLEMS: Mapping[str, str] = {
    "claimSignature.mismatch": "the record was changed after it was signed",
    "signingCredential.expired": "its certificate has run out",
    "signingCredential.invalid": "its certificate is not one for content credentials",
    "assertion.hashedURI.mismatch": "a part of the record was exchanged",
}


def inspect_file(path: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read what a picture, an identity file or a run's identity says of itself.

    Args:
        path: the file or run folder; nobody vouches for it.
        environment: variables that say where the user's own key is; those of the process when not given.

    Returns:
        Plain data: `kind` ("picture" or "identity"), `verdict` (sentences), and what was found.

    Raises:
        SubjectError: it is no picture, broken, or far too large.
        WeightsError: it is no identity.
        RunError: nothing is there, or the folder holds no identity.
    """
    if path.is_dir():
        if not (path / KEPT).is_file():
            raise RunError(
                f"{path} holds no {KEPT}", "a picture, an identity or a run that has one", "name the file itself"
            )
        return _inspect_identity(path / KEPT)
    if not path.exists():
        raise RunError(f"{path} is not there", "a picture, an identity file or a run folder", "check the path")
    return _inspect_identity(path) if path.suffix == ".safetensors" else _inspect_picture(path, environment)


def _inspect_picture(path: Path, environment: Mapping[str, str] | None) -> dict[str, Any]:
    path = path.resolve()
    read_photo(path)  # whatever is broken, too large or no picture is refused there, in words
    try:
        data = path.read_bytes()
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as file:
            file.load()
            statement, kind = read_statement(file), Pillow.MIME.get(file.format or "", "")
            words = _words(file, data)
    except (OSError, ValueError, SyntaxError) as error:  # it changed since
        raise SubjectError(f"{path} cannot be read ({error})", "a whole picture file", "copy it again") from error
    credentials, problem = _credentials(data, kind)
    own = known_key(config_folder(environment))
    told = statement.facts if statement and statement.facts else credentials.facts if credentials else {}
    return {
        "kind": "picture",
        "file": str(path),
        "verdict": _verdict(statement, credentials, own=own, words=words, problem=problem),
        "facts": dict(told),
        "text": _statement_data(statement, own),
        "content_credentials": _credential_data(credentials, problem),
        "words": {key: text[:LONGEST] for key, text in words.items()},
    }


def _words(file: Image, data: bytes) -> dict[str, str]:
    """Give what the file says without a signature: text chunks of drawing programs, EXIF's program, IPTC's source type."""
    words = {key: text for key, text in file.info.items() if key in ("parameters", "ipseity") and isinstance(text, str)}
    program = file.getexif().get(ExifTags.Base.Software)
    if isinstance(program, str) and program.strip():
        words["program"] = program.strip()
    if _XMP_SOURCE.search(data):
        words["source"] = "trainedAlgorithmicMedia"
    return words


def _credentials(data: bytes, kind: str) -> tuple[Credentials | None, str | None]:
    """Give the content credentials, or what keeps them from being read."""
    if not can_credential():
        seems = may_hold_credentials(data)
        return None, "pip install 'ipseity[provenance]' reads them" if seems else None
    try:
        return read_credentials(data, kind), None
    except ValueError as error:
        return None, str(error)


def _statement_data(statement: Statement | None, own: str | None) -> dict[str, Any] | None:
    if statement is None:
        return None
    signer = None if statement.key is None else "own" if statement.key == own else "other"
    same = statement.pixels_same
    return {"signature": statement.signature, "key": statement.key, "signer": signer, "pixels_same": same}


def _credential_data(credentials: Credentials | None, problem: str | None) -> dict[str, Any] | None:
    if credentials is None:
        return {"state": "unreadable", "problems": [problem]} if problem else None
    return {
        "state": credentials.state,
        "generator": credentials.generator,
        "sources": list(credentials.sources),
        "signer": credentials.signer,
        "problems": list(credentials.problems),
    }


def _verdict(
    statement: Statement | None,
    credentials: Credentials | None,
    *,
    own: str | None,
    words: Mapping[str, str],
    problem: str | None,
) -> list[str]:
    said = [*_of_statement(statement, own), *_of_credentials(credentials, statement)]
    if problem:
        said.append(f"There are content credentials that were not read: {problem}.")
    if not said and words:
        made = ", and say that a trained model made it" if "source" in words else ""
        said.append(f"Only unsigned words of a program lie in this file{made}; anybody can write, change or copy them.")
    return said or [NOTHING]


def _of_statement(statement: Statement | None, own: str | None) -> list[str]:
    if statement is None:
        return []
    if statement.signature == "broken":
        return [
            "The facts in this file are not those that were signed: they were changed or copied here. Do not believe them."
        ]
    made = "Drawn by a model" + _by_whom(statement.facts)
    pixels = (
        "The pixels are those that the facts were written with."
        if statement.pixels_same
        else "The pixels, or how they are shown, were changed since, or the facts were copied from another picture."
    )
    if statement.signature == "none":
        return [f"{made}, as unsigned facts say; anybody can write or change them.", pixels]
    if statement.signature == "unchecked":
        return [
            f"{made}, as facts say whose signature nothing here can check (pip install 'ipseity[provenance]').",
            pixels,
        ]
    signer = "your own key" if statement.key == own else f"key {statement.key}, which is not yours"
    return [f"{made}; signed with {signer}.", *([] if statement.key == own else [ANYBODY]), pixels]


def _by_whom(facts: Mapping[str, Any]) -> str:
    tool, made = facts.get("tool"), facts.get("made")
    name = f"{tool.get('name')} {tool.get('version')}" if isinstance(tool, Mapping) else "a program"
    return f", by {name}" + (f", on {made}" if made else "")


def _of_credentials(credentials: Credentials | None, statement: Statement | None) -> list[str]:
    if credentials is None:
        return []
    source = (
        "made by a trained model"
        if "trainedAlgorithmicMedia" in credentials.sources
        else ", ".join(credentials.sources)
    )
    says = f"Content credentials of {credentials.generator or 'a program without a name'}" + (
        f" say: {source}." if source else "."
    )
    if credentials.state == "trusted":
        return [f"{says} They hold, and the certificate is known ({credentials.signer})."]
    if credentials.state == "signed":
        return [f"{says} They hold; nobody known stands behind the certificate ({credentials.signer})."]
    if credentials.bytes_changed:
        same = statement is not None and statement.signature != "broken" and statement.pixels_same
        return [
            f"{says} They no longer hold: the file was changed after it was signed{' (not its pixels)' if same else ''}."
        ]
    reasons = ", ".join(_PROBLEMS.get(code, code) for code in credentials.problems)
    return [f"{says} They do not hold: {reasons or 'no reason is given'}."]


def read_kept(path: Path) -> Identity:
    """Read an identity file that nobody vouches for.

    Raises:
        WeightsError: it is no identity, or its header is not ours.
    """
    try:
        identity = Identity.load(path)
        if not isinstance(identity.facts, Mapping) or not isinstance(identity.options, Mapping):
            raise TypeError("facts and options are no tables")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path} has a header that is not ours ({type(error).__name__}: {error})",
            "an identity that ipseity saved",
            f"name the run's {KEPT}",
        ) from error
    return identity


def _inspect_identity(path: Path) -> dict[str, Any]:
    identity = read_kept(path)
    facts, face = identity.facts, holds_face(identity.method, identity.tensors)
    consent = consent_of(facts)
    kept = ("recipe_hash", "step", "seed", "scores", "reason")
    return {
        "kind": "identity",
        "file": str(path),
        "verdict": _of_identity(identity, consent, face=face),
        "base": identity.base,
        "base_fingerprint": identity.base_fingerprint,
        "method": identity.method,
        "token": identity.token,
        "class_noun": identity.class_noun,
        "sha256": identity_hash(identity.tensors),
        "tensors": len(identity.tensors),
        "numbers": sum(tensor.numel() for tensor in identity.tensors.values()),
        "licence": facts.get("base_licence") or "not stated",
        "consent": None if consent is None else dict(consent),
        "holds_face": face,
        "photos": len(facts["photos"]) if isinstance(facts.get("photos"), Mapping | Sequence) else None,
        "facts": {key: facts[key] for key in kept if key in facts},
    }


def _of_identity(identity: Identity, consent: Mapping[str, Any] | None, *, face: bool) -> list[str]:
    """Say what kind of data it is. Identity files are not signed: all of this is what the file says."""
    said = [
        f"An identity of method '{identity.method}' for base '{identity.base}'; '{identity.token}' stands for it in prompts."
    ]
    if face:
        said.append(
            "It holds measures of a face, from which a person can be recognized: personal data (`ipseity forget` deletes it)."
        )
    elif shows_person(identity.class_noun):
        said.append(
            "It was learned from photos of a person and draws them: personal data (`ipseity forget` deletes it)."
        )
    if consent is not None:
        said.append(f"Consent, as noted: {consent.get('note')}")
    elif consent_reminder(identity.class_noun, identity.method, None):
        said.append("No consent is noted in it.")
    return said
