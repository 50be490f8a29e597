"""Where the backend keeps what it writes: below the stack's data folder."""

from __future__ import annotations

from pathlib import Path

from dataflix_contract import Settings, SettingsError


def home(settings: Settings) -> Path:
    """The backend's own folder.

    Raises:
        SettingsError: the settings name no folder for the stack's data.
    """
    if settings.data_dir is None:
        raise SettingsError(
            "DATAFLIX_DATA_DIR is empty: the stack sets it for what it starts; by hand, set it too"
        )
    return settings.data_dir.expanduser().absolute() / "backend"
