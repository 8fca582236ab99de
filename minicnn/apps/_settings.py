"""The settings of a run, kept beside its checkpoints for people and for later commands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from minicnn.errors import CheckpointError, ConfigError

FILE = "settings.json"


def save_settings(model_dir: Path, app: str, settings: Any) -> None:
    """Write a dataclass of settings; a file that was there is replaced as a whole.

    Parameters
    ----------
    model_dir : Path
        The run's folder; made if need be.
    app : str
        Whose settings, say ``"gtsrb"``.
    settings : dataclass
        Of plain values.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    content = {"app": app} | dataclasses.asdict(settings)
    partial = model_dir / f".{FILE}.partial"
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(model_dir / FILE)


def load_settings(model_dir: Path, app: str, kind: type) -> Any:
    """Read the settings of a run.

    Parameters
    ----------
    model_dir : Path
        The run's folder.
    app : str
        Whose settings they must be.
    kind : type
        Their dataclass.

    Returns
    -------
    dataclass
        Of type `kind`.

    Raises
    ------
    ConfigError
        If there is no such run.
    CheckpointError
        If the file is broken, or of another app.
    """
    path = model_dir / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.pop("app", None) != app:
            raise CheckpointError(f"{path}: is not of a {app} run")
        return kind(**content)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{model_dir}: no {app} run is here; train one with: "
            f"python -m minicnn.train {app} --model-dir {model_dir}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise CheckpointError(f"{path}: is broken ({error}); restore it or train anew") from error
