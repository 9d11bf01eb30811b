"""Errors that a user can cause or mend. The command line prints them in one line and exits with 1."""


class MocapError(Exception):
    """Says what was expected, what was found and, where there is one, the next command."""
