"""The user's own signing key: made at first use, kept where only the user can read it, and what it signs and proves.

A signature says that whoever holds a key vouches for some bytes, and that they are as they were. It does not say who that is:
the certificate is the user's own, and nobody else stands behind it. The key's name is the same in all pictures it signs.
"""

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ipseity.core.errors import MissingPackage, RunError

FILE = "signing-key.pem"
YEARS = 10
"""How long the certificate of a new key holds."""
CONFIG = "IPSEITY_CONFIG"
"""Environment variable that names the folder of the user's own files."""


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key with the certificates that content credentials ask for."""

    private_pem: bytes
    """PKCS 8."""
    chain_pem: bytes
    """The key's certificate, then the one that issued it."""
    public: bytes
    """32 bytes."""

    @property
    def name(self) -> str:
        """Short name: the beginning of the public key's hash."""
        return key_name(self.public)

    def sign(self, message: bytes) -> bytes:
        """Give the Ed25519 signature of a message, 64 bytes."""
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # type: ignore[import-not-found] # it may be absent

        key: Any = load_pem_private_key(self.private_pem, None)
        return key.sign(message)


def key_name(public: bytes) -> str:
    """Name a public key by the first 16 digits of its SHA-256."""
    return sha256(public).hexdigest()[:16]


def can_sign() -> bool:
    """Tell whether the package that signs is installed; it is not imported for that."""
    return find_spec("cryptography") is not None


def holds(public: bytes, signature: bytes, message: bytes) -> bool | None:
    """Tell whether a signature is that of a message by the holder of a public key; None where nothing here can tell.

    Args:
        public: 32 bytes; other lengths never hold.
        signature: 64 bytes.
        message: what was signed.
    """
    if not can_sign():
        return None
    from cryptography.exceptions import InvalidSignature  # type: ignore[import-not-found] # it may be absent
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # type: ignore[import-not-found] # it may be absent

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def config_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Give the folder of the user's own files; nothing is made.

    Args:
        environment: variables; those of the process when not given. `IPSEITY_CONFIG` wins over the system's custom.
    """
    told = os.environ if environment is None else environment
    if named := told.get(CONFIG):
        return Path(named).expanduser()
    custom = {"win32": told.get("APPDATA"), "darwin": "~/Library/Application Support"}
    return Path(custom.get(sys.platform) or told.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ipseity"


def known_key(folder: Path) -> str | None:
    """Give the name of the key that a folder holds, or None; nothing is made."""
    try:
        return read_key(folder).name if (folder / FILE).is_file() else None
    except (RunError, MissingPackage):
        return None


def own_key(folder: Path) -> SigningKey:
    """Give the key that a folder holds, or make it there.

    Raises:
        MissingPackage: `cryptography` is not installed.
        RunError: the key cannot be read, made, or lies open to other users.
    """
    _need_package()
    if not (folder / FILE).exists():
        _make_key(folder)
    return read_key(folder)


def read_key(folder: Path) -> SigningKey:
    """Read the key that a folder holds.

    Raises:
        MissingPackage: `cryptography` is not installed.
        RunError: it is not there, broken, or lies open to other users.
    """
    _need_package()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # type: ignore[import-not-found] # it may be absent
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # type: ignore[import-not-found] # it may be absent

    path = folder / FILE
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
        private, certificates = data[: data.index(b"-----BEGIN CERT")], data[data.index(b"-----BEGIN CERT") :]
        key = load_pem_private_key(private, None)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"the signing key {path} cannot be read ({error})",
            "the file that ipseity made there",
            "restore it, or move it away: a new key is then made, and pictures by the old one count as another's",
        ) from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise RunError(
            f"the signing key {path} can be read by other users (mode {stat.S_IMODE(mode):o})",
            "a key that only you can read",
            f"move it away, so that a new one is made, or, if nobody had it: chmod 600 {path}",
        )
    if not isinstance(key, Ed25519PrivateKey):
        raise RunError(f"{path} holds another kind of key", "an Ed25519 key", "move it away: a new one is then made")
    return SigningKey(private, certificates, key.public_key().public_bytes_raw())


def _need_package() -> None:
    if not can_sign():
        raise MissingPackage(
            "nothing that signs is installed", "cryptography", "install it: pip install 'ipseity[provenance]'"
        )


def _make_key(folder: Path) -> None:
    """Make a key in one move; of two processes that make one at once, the first one's is kept."""
    path, draft = folder / FILE, folder / f".{FILE}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_new_key())
            _put(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"no signing key can be kept at {path} ({error.strerror or error})",
            "a folder that you may write",
            f"name one with the environment variable {CONFIG}",
        ) from error


def _put(draft: Path, path: Path) -> None:
    """Give a file its name unless another has it already; some file systems know no links, there the last one wins."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:
        draft.replace(path)


def _new_key() -> bytes:
    """Make a key and its certificates: an issuer, whose key is thrown away, since none may vouch for itself, and the user's."""
    from cryptography.hazmat.primitives import serialization  # type: ignore[import-not-found] # it may be absent
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # type: ignore[import-not-found] # it may be absent

    issuer, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    name = key_name(key.public_key().public_bytes_raw())
    parts = (_certificate(f"key {name}", key, issuer=issuer), _certificate(_ISSUER, issuer, issuer=issuer))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = b"".join(part.sign(issuer, None).public_bytes(pem) for part in parts)
    return private + chain


_ISSUER = "made by the user, vouched for by nobody"


def _certificate(name: str, key: Any, *, issuer: Any) -> Any:
    """Describe a certificate as the C2PA profile asks for it (C2PA 2.2, section 14.5.1)."""
    from cryptography import x509  # type: ignore[import-not-found] # it may be absent
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # type: ignore[import-not-found] # it may be absent

    def called(common: str) -> x509.Name:
        kinds = ((NameOID.ORGANIZATION_NAME, "ipseity user"), (NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(kind, text) for kind, text in kinds])

    began, is_issuer = datetime.now(UTC) - timedelta(days=1), key is issuer
    signs = {"digital_signature": not is_issuer, "key_cert_sign": is_issuer, "crl_sign": is_issuer}
    rest = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")  # fmt: skip
    told = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(_ISSUER))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=0 if is_issuer else None), critical=True)
        .add_extension(x509.KeyUsage(**signs, **dict.fromkeys(rest, False)), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    return told if is_issuer else told.add_extension(uses, critical=False)
