"""What the services of Dataflix agree on: tables, masking, settings."""

from dataflix_contract.masking import MaskedRow, Masking
from dataflix_contract.schema import Column, ColumnType, ContractError, PiiClass, Table, tables
from dataflix_contract.settings import Settings, SettingsError, load_settings

__all__ = [
    "Column",
    "ColumnType",
    "ContractError",
    "MaskedRow",
    "Masking",
    "PiiClass",
    "Settings",
    "SettingsError",
    "Table",
    "load_settings",
    "tables",
]
