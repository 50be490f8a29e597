"""Shared by all services of Dataflix: the tables' contract, the masking of personal data, and the settings.

The names below are imported when they are first used. The settings need pydantic, which takes long to
import, and the program ``dataflix`` and the shell scripts read the settings file without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataflix_contract.masking import Masking
    from dataflix_contract.schema import Column, ColumnType, ContractError, PiiClass, Table, tables
    from dataflix_contract.settings import Settings, SettingsError, load_settings

_MODULES = {
    "masking": ("Masking",),
    "schema": ("Column", "ColumnType", "ContractError", "PiiClass", "Table", "tables"),
    "settings": ("Settings", "SettingsError", "load_settings"),
}

__all__ = [
    "Column",
    "ColumnType",
    "ContractError",
    "Masking",
    "PiiClass",
    "Settings",
    "SettingsError",
    "Table",
    "load_settings",
    "tables",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, and keep it for the next time."""
    for module, names in _MODULES.items():
        if name in names:
            found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
