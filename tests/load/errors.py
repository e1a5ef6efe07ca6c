"""What a person can get wrong about a load run."""

from common.errors import TriviumError


class LoadError(TriviumError):
    """The scenario, its inputs, the target or a worker cannot be used."""


class InvalidRunError(TriviumError):
    """The run finished, but its figures say more about the client or about errors than about the server."""

    exit_code = 3
