"""The one exception of this package that a person is meant to read."""


class Fault(Exception):  # noqa: N818 - a fault of the surroundings, not of this program
    """Something outside is not as it must be; the message says what, and what to do."""
