"""Dataflix in a terminal: an interactive session, and every action as a command."""

#: The program's version; a test compares it with the package's.
__version__ = "0.1.0"
