"""Errors of this room that are the user's to mend."""

from common.errors import TriviumError


class EvaluationError(TriviumError):
    """Inputs do not fit together, a file has the wrong form, or a tool that a metric needs cannot run."""


class JavaError(EvaluationError):
    """The Java programs behind METEOR and the PTB tokenizer cannot run."""
