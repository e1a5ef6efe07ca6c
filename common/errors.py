"""The base of every error that is the user's to mend."""


class TriviumError(Exception):
    """A mistake a person can mend. The text says what was wrong, where, and what to do.

    Command lines print it as one line and exit with `exit_code`; never a traceback.
    """

    exit_code = 2


class ConfigError(TriviumError):
    """A configuration file is missing, unreadable, or has a wrong key or value."""
