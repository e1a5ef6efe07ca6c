"""Presidio's analyzer with the recognisers that need no language model, and without a look at the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

# Presidio knows the common card issuers; these are the lengths of ISO/IEC 7812, and Luhn's check decides.
_CARD_NUMBER = r"\b(?:\d[ -]?){11,18}\d\b"
# Presidio asks phonenumbers for the plans of eight countries; a plus sign says "telephone" in all of them.
_INTERNATIONAL = r"(?<![\w+])\+\d{1,3}[ .-]?(?:\(0\))?(?:[ .-]?\(?\d{1,4}\)?){2,5}(?:x\d{1,5})?\b"


def pattern_analyzer() -> AnalyzerEngine:
    """The analyzer for English context words."""
    with _without("torch", "transformers"):
        import spacy
        import tldextract
        from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
        from presidio_analyzer import predefined_recognizers as known
        from presidio_analyzer.nlp_engine import SpacyNlpEngine

    suffixes = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())

    class OfflineEmailRecognizer(known.EmailRecognizer):
        """The parent asks the network for the list of top-level domains; the package brings one."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(suffixes(pattern_text).fqdn)

    cards = [*known.CreditCardRecognizer.PATTERNS, Pattern("any issuer (weak)", _CARD_NUMBER, 0.1)]
    international = PatternRecognizer(
        "PHONE_NUMBER", patterns=[Pattern("international", _INTERNATIONAL, 0.6)]
    )
    recognizers: list[Any] = [
        OfflineEmailRecognizer(), known.PhoneRecognizer(), international,
        known.CreditCardRecognizer(patterns=cards), known.IbanRecognizer(), known.IpRecognizer(),
        known.UrlRecognizer(), known.UsSsnRecognizer(), known.CryptoRecognizer(), known.UsItinRecognizer(),
        known.UsPassportRecognizer(), known.UsLicenseRecognizer(), known.UsBankRecognizer(),
        known.MedicalLicenseRecognizer(),
    ]  # fmt: skip
    engine: Any = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}])
    engine.nlp = {"en": _blank_pipeline(spacy)}
    registry = RecognizerRegistry(recognizers=recognizers, supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def _blank_pipeline(spacy: Any) -> Any:
    """A tokenizer whose lemma is the lower-case word: enough for presidio to see words such as "call"."""

    def lower_case_lemma(doc: Any) -> Any:
        for token in doc:
            token.lemma_ = token.lower_
        return doc

    spacy.Language.component("lower_case_lemma", func=lower_case_lemma)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("lower_case_lemma")
    pipeline.max_length = 10_000_000
    return pipeline


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """Let imports inside find these modules missing, unless they are loaded already.

    spaCy and presidio import torch where it is installed and use nothing of it here: 400 MB in each worker.
    """
    hidden = [name for name in modules if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
