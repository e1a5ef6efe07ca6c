"""What can go wrong with a road."""

from __future__ import annotations

from common.errors import TriviumError


class RoadError(TriviumError):
    """A road is not configured, cannot serve this format, or its endpoint serves something else."""
