"""The bundle: one signed folder that every road loads, and the contract that makes it trustworthy.

Light to import (pydantic, no signing library, no torch). Building is in `bundle.build`, adding ONNX
variants in `bundle.edit`, signing in `bundle.signing`.
"""

from bundle.check import check_content
from bundle.child import verify_in_child
from bundle.errors import BundleError
from bundle.manifest import GoldenPrompt, Manifest
from bundle.opened import Bundle
from bundle.verify import verify, verify_identity

__all__ = [
    "Bundle", "BundleError", "GoldenPrompt", "Manifest",
    "check_content", "verify", "verify_identity", "verify_in_child",
]  # fmt: skip
