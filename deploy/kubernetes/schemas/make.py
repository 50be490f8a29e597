"""Turn CustomResourceDefinitions into JSON schemas that know every field and refuse the rest.

Usage: python make.py CRD.yaml... : writes <kind>-<group>-<version>.json beside this file. See README.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]


def closed(schema: Any, *, whole: bool = True) -> Any:
    """The schema without prose, in which an object with known properties has no others.

    Args:
        schema: a schema, or a part of one.
        whole: whether it describes all of an object, and not one of several demands on it.
    """
    if isinstance(schema, list):
        return [closed(part, whole=whole) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    kept = {
        name: _part(name, value, whole=whole)
        for name, value in schema.items()
        if name != "description" and not name.startswith("x-kubernetes-")
    }
    if whole and "properties" in kept and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept.setdefault("additionalProperties", False)
    return kept


def _part(name: str, value: Any, *, whole: bool) -> Any:
    if name == "properties":
        return {field: closed(part, whole=whole) for field, part in value.items()}
    return closed(value, whole=whole and name not in {"oneOf", "anyOf", "allOf", "not"})


def schemas(definition: dict[str, Any]) -> dict[str, Any]:
    """The schema of each served version, by file name."""
    kind, group = definition["spec"]["names"]["kind"], definition["spec"]["group"]
    found = {}
    for version in definition["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"].pop("status", None)
        schema["properties"] |= {"metadata": {"type": "object"}}
        found[f"{kind.lower()}-{group}-{version['name']}.json"] = closed(schema)
    return found


def main(paths: list[str]) -> None:
    """Write the schemas of all definitions in the files."""
    for path in paths:
        for definition in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")):
            for name, schema in schemas(definition).items():
                text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
                Path(__file__).with_name(name).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
