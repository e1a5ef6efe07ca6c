"""Why a bundle was refused: one exception class per cause, all of them BundleError.

BundleError
├── BundleNotFound        there is no bundle at this path
├── BundleExists          this version is there already
├── ManifestMissing       no manifest.json
├── ManifestNotJson       manifest.json is not JSON
├── UnknownSchema         manifest of a version this code does not know
├── ManifestInvalid       a field of the manifest is missing, wrong or unknown
├── UnsafePath            a path in the manifest that is absolute or climbs out
├── UnsafeSymlink         a symbolic link (out of the folder, or at all)
├── SpecialFile           a pipe, socket or device
├── MissingFile           the manifest names it, the folder lacks it
├── AddedFile             the folder has it, the manifest lacks it
├── ChangedFile           size or SHA-256 differ
├── PickleInDisguise      content that Python would unpickle, whatever its name
├── WrongFormat           weights that are neither safetensors nor ONNX, or broken
├── KeyNotFound           no key to sign or verify with
├── KeyInvalid            a key file that is not a usable elliptic-curve key
├── SignatureMissing      not signed
├── SignatureMalformed    signature.json is no sigstore bundle
├── WrongKey              signed, but by another key or identity
├── SignatureInvalid      the signature does not fit what it claims to sign
└── VariantNotFound       the bundle has no such ONNX variant
"""

from __future__ import annotations

from common.errors import TriviumError


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would obey (escape codes, line breaks) written out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class BundleError(TriviumError):
    """A bundle cannot be built, read or trusted; the text says why and what to do.

    Names out of a hostile bundle end up in the text, so line breaks and terminal codes are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class BundleNotFound(BundleError):
    """There is no bundle at this path."""


class BundleExists(BundleError):
    """This version is there already."""


class ManifestMissing(BundleError):
    """The folder has no manifest.json."""


class ManifestNotJson(BundleError):
    """manifest.json is not JSON."""


class UnknownSchema(BundleError):
    """The manifest has a schema version that this code does not know."""


class ManifestInvalid(BundleError):
    """A field of the manifest is missing, wrong or unknown."""


class UnsafePath(BundleError):
    """A path in the manifest is absolute or climbs out of the folder."""


class UnsafeSymlink(BundleError):
    """The folder holds a symbolic link."""


class SpecialFile(BundleError):
    """The folder holds something that is neither a file nor a folder."""


class MissingFile(BundleError):
    """The manifest names a file that the folder lacks."""


class AddedFile(BundleError):
    """The folder has a file that the manifest does not name."""


class ChangedFile(BundleError):
    """The size or the SHA-256 of a file differs from the manifest."""


class PickleInDisguise(BundleError):
    """A file's content is a pickle, or an archive that can hold one."""


class WrongFormat(BundleError):
    """Weights that are neither safetensors nor ONNX, or whose header is broken."""


class KeyNotFound(BundleError):
    """No key to sign or verify with."""


class KeyInvalid(BundleError):
    """A key file that is not a usable elliptic-curve key."""


class SignatureMissing(BundleError):
    """The bundle is not signed."""


class SignatureMalformed(BundleError):
    """signature.json is not a sigstore bundle."""


class WrongKey(BundleError):
    """The bundle is signed by another key or identity than the expected one."""


class SignatureInvalid(BundleError):
    """The signature does not fit the files, or is forged."""


class VariantNotFound(BundleError):
    """The bundle has no such ONNX variant."""
