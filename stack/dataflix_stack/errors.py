"""The one kind of fault that is told to people without a traceback."""


class StackError(Exception):
    """Something that was expected to be able to fail did; the message says what to do."""
