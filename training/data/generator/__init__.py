"""The built-in corpus: descriptions of invented venues in our own wording, and small tasks about them."""

from training.data.generator.corpus import GENERATOR_LICENCE, generate

__all__ = ["GENERATOR_LICENCE", "generate"]
