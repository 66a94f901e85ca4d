"""Content credentials (C2PA): a signed record inside a picture file that other programs and sites read too.

The record says that the picture was made by a trained model, by which program, and holds our own facts beside it. It is bound
to the file's bytes: any change of them is seen. Nothing here asks the network, neither for records nor for certificates.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from ipseity.core.errors import MissingPackage
from ipseity.flows.signing import SigningKey

LABEL = "io.github.ipseity.picture"
"""Name of the assertion that holds our facts."""
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for a picture that a trained model made."""
SETTINGS: Mapping[str, Any] = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
State = Literal["trusted", "signed", "broken"]
_STATES: Mapping[str, State] = {"Trusted": "trusted", "Valid": "signed"}
_UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True)
class Credentials:
    """What the newest record in a file says, and whether it holds."""

    state: State
    """"signed" where all hashes and the signature hold but nobody known stands behind the certificate."""
    generator: str
    """Program and version, as the record says."""
    sources: tuple[str, ...]
    """Last words of the source types of its actions: "trainedAlgorithmicMedia"."""
    signer: str
    """Name in the certificate; anybody can write any name into one."""
    problems: tuple[str, ...]
    """Codes of what does not hold, without the missing trust."""
    facts: Mapping[str, Any]
    """Our own assertion; empty in records of other programs."""

    @property
    def bytes_changed(self) -> bool:
        """Whether the file's bytes are other than those that were signed."""
        return any(code.startswith("assertion.") and code.endswith("Hash.mismatch") for code in self.problems)


def can_credential() -> bool:
    """Tell whether the package is installed; it is not imported for that."""
    return find_spec("c2pa") is not None


def add_credentials(png: bytes, facts: Mapping[str, Any], key: SigningKey, *, version: str) -> bytes:
    """Give a PNG file with a signed record in it; pixels and other chunks stay as they are.

    Args:
        png: a whole file.
        facts: plain data for our own assertion.
        key: signs; its certificate goes into the file.
        version: of ipseity.

    Raises:
        MissingPackage: `c2pa-python` is not installed, or refuses to sign; the message has its reason.
    """
    if not can_credential():
        raise MissingPackage(
            "content credentials cannot be written", "c2pa-python", "install it: pip install 'ipseity[provenance]'"
        )
    c2pa = _library()

    about, signed = {"name": "ipseity", "version": version}, io.BytesIO()
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE, "softwareAgent": about}
    record = {
        "claim_generator_info": [about],
        "format": "image/png",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": LABEL, "data": dict(facts)},
        ],
    }
    try:
        with c2pa.Builder.from_json(json.dumps(record), context=_context()) as builder:
            builder.sign(_signer(key), "image/png", io.BytesIO(png), signed)
    except c2pa.C2paError as error:
        raise MissingPackage(
            f"c2pa-python {c2pa.sdk_version()} refuses to sign ({str(error)[:200]})",
            "content credentials",
            "install the version that ipseity was tried with: pip install 'ipseity[provenance]'",
        ) from error
    return signed.getvalue()


def read_credentials(data: bytes, mime: str) -> Credentials | None:
    """Read and check the newest record in a picture file, or give None where there is none.

    Args:
        data: the file; nobody vouches for it.
        mime: its kind, such as "image/png", told from its content.

    Raises:
        MissingPackage: `c2pa-python` is not installed.
        ValueError: there is something that is no readable record.
    """
    if not can_credential():
        raise MissingPackage(
            "content credentials cannot be read", "c2pa-python", "install it: pip install 'ipseity[provenance]'"
        )
    c2pa = _library()

    if mime not in c2pa.Reader.get_supported_mime_types():
        return None
    try:
        with c2pa.Reader(mime, io.BytesIO(data), context=_context()) as reader:
            told, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (c2pa.C2paError, RecursionError) as error:
        raise ValueError(f"content credentials that cannot be read ({str(error)[:200]})") from error
    return _understood(told, str(state))


def may_hold_credentials(data: bytes) -> bool:
    """Tell by a look at the bytes whether a file seems to hold a record, where nothing here can read it."""
    return b"c2pa" in data and b"jumb" in data


def _understood(told: Mapping[str, Any], state: str) -> Credentials:
    newest = told.get("manifests", {}).get(told.get("active_manifest"), {})
    assertions = {str(part.get("label")): part.get("data") for part in newest.get("assertions", [])}
    actions = [act for name, data in assertions.items() if name.startswith("c2pa.actions") for act in data["actions"]]
    about = next(iter(newest.get("claim_generator_info", [])), {})
    signature = newest.get("signature_info", {})
    codes = [str(row.get("code")) for row in told.get("validation_status", [])]
    facts = assertions.get(LABEL)
    return Credentials(
        state=_STATES.get(state, "broken"),
        generator=" ".join(str(about[key]) for key in ("name", "version") if about.get(key))
        or str(newest.get("claim_generator", "")),
        sources=tuple(
            str(act["digitalSourceType"]).rpartition("/")[2] for act in actions if "digitalSourceType" in act
        ),
        signer=", ".join(str(signature[key]) for key in ("issuer", "common_name") if signature.get(key)),
        problems=tuple(dict.fromkeys(code for code in codes if code != _UNTRUSTED)),
        facts=facts if isinstance(facts, dict) else {},
    )


def _library() -> Any:
    return import_module("c2pa")


@cache
def _context() -> Any:
    c2pa = _library()

    return c2pa.Context(c2pa.Settings.from_dict(dict(SETTINGS)))


@cache
def _signer(key: SigningKey) -> Any:
    c2pa = _library()

    info = c2pa.C2paSignerInfo(alg=b"ed25519", sign_cert=key.chain_pem, private_key=key.private_pem, ta_url=None)
    return c2pa.Signer.from_info(info)
