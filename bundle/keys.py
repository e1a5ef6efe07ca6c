"""The key pair that signs bundles: ECDSA P-256 in PEM, made on first use, private to its owner."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bundle.errors import KeyInvalid, KeyNotFound
from common.files import FileError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

PRIVATE_NAME = "signing.key"
PUBLIC_NAME = "signing.pub"


def keys_folder() -> Path:
    """`TRIVIUM_KEYS`, or `keys/` in the working folder."""
    return Path(os.environ.get("TRIVIUM_KEYS") or "keys")


def default_public_key() -> Path:
    """The public key that `verify` uses where none is given. Raises KeyNotFound."""
    path = keys_folder() / PUBLIC_NAME
    if not path.is_file():
        raise KeyNotFound(
            f"{path}: no public key; give --public-key FILE or set TRIVIUM_KEYS to the folder that has it"
        )
    return path


def ensure_key_pair(folder: Path) -> tuple[Path, Path]:
    """Paths of the private and the public key in `folder`; made where they are not there yet.

    The private key is readable by its owner only (0600) from its first byte on. Two first uses at once end
    with one pair.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = folder / PRIVATE_NAME, folder / PUBLIC_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not private.exists():
            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _write_once(private, pem, 0o600)
        if not public.exists():
            _write_once(public, _public_pem(_load_private(private).public_key()), 0o644)
        elif fingerprint(public) != private_fingerprint(private):
            raise KeyInvalid(f"{public}: not the public half of {private}; remove it to have it written anew")
    except OSError as exc:
        raise FileError(f"{folder}: the key pair could not be written: {exc.strerror or exc}") from exc
    return private, public


def fingerprint(public_key: Path) -> str:
    """SHA-256 of the PEM form of a public key, in hex: model-signing's hint in a signature.

    Raises KeyNotFound or KeyInvalid.
    """
    return hashlib.sha256(_public_pem(_load_public(public_key))).hexdigest()


def private_fingerprint(private_key: Path) -> str:
    """`fingerprint` of the public half of a private key. Raises KeyNotFound or KeyInvalid."""
    return hashlib.sha256(_public_pem(_load_private(private_key).public_key())).hexdigest()


def _load_public(path: Path) -> EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyInvalid(f"{path}: not a public key in PEM form") from exc
    if not isinstance(key, EllipticCurvePublicKey):
        raise KeyInvalid(f"{path}: not an elliptic-curve key")
    _check_curve(path, key.curve.name)
    return key


def _load_private(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyInvalid(f"{path}: not an unencrypted private key in PEM form") from exc
    if not isinstance(key, EllipticCurvePrivateKey):
        raise KeyInvalid(f"{path}: not an elliptic-curve key")
    _check_curve(path, key.curve.name)
    return key


def _check_curve(path: Path, curve: str) -> None:
    """The curves that sigstore's bundle format allows."""
    if curve not in ("secp256r1", "secp384r1", "secp521r1"):
        raise KeyInvalid(f"{path}: a key on the curve {curve}; use P-256, P-384 or P-521")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(65536)
    except OSError as exc:
        raise KeyNotFound(f"{path}: the key cannot be read: {exc.strerror or exc}") from exc


def _public_pem(key: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write_once(path: Path, data: bytes, mode: int) -> None:
    """Put a whole file at `path` unless another process was first; a link never overwrites, a rename does."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).chmod(mode)
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        Path(temporary).unlink()
