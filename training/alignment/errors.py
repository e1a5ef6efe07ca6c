"""What can go wrong in alignment that a person can mend."""

from __future__ import annotations

from common.errors import TriviumError


class AlignmentError(TriviumError):
    """Data, settings or a start model do not allow the job."""


class AlignmentDiverged(TriviumError):
    """Loss, gradients or the distance to the reference have run away."""
