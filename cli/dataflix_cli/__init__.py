"""The program ``dataflix``: Dataflix in a terminal, as commands and as an interactive session."""

#: The program's version; a test compares it with the package's.
__version__ = "0.1.0"
