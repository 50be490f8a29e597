"""What dbt's artefacts say, model by model and test by test. No I/O.

The artefacts are described at https://docs.getdbt.com/reference/artifacts/dbt-artifacts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataflix_dbt.runs import NodeResult

_MOST_MESSAGE_CHARACTERS = 2_000
_MOST_NAMED = 5


def node_results(run_results: dict[str, Any], manifest: Mapping[str, Any] | None = None) -> list[NodeResult]:
    """Models, tests and whatever else ``run_results.json`` reports; exposures do nothing and are left out.

    Args:
        run_results: the parsed artefact.
        manifest: the parsed ``manifest.json``, which knows what each test looks at.
    """
    nodes = (manifest or {}).get("nodes", {})
    found = [
        _node(one, one["execution_time"], _subject(nodes.get(one["unique_id"], {})))
        for one in run_results["results"]
    ]
    return [one for one in found if one.resource_type != "exposure"]


def source_results(sources: dict[str, Any]) -> list[NodeResult]:
    """The freshness of the sources that ``sources.json`` reports."""
    return [_node(one, one.get("execution_time") or 0.0) for one in sources["results"]]


def _subject(node: Mapping[str, Any]) -> str:
    """What a test looks at: the model it is attached to, or everything that it reads."""
    if node.get("resource_type") != "test":
        return ""
    attached = node.get("attached_node")
    looked_at = [attached] if attached else node["depends_on"]["nodes"]
    return ", ".join(unique_id.partition(".")[2].partition(".")[2] for unique_id in looked_at)


def _node(one: dict[str, Any], seconds: float, subject: str = "") -> NodeResult:
    unique_id = one["unique_id"]
    resource_type, _, name, *rest = unique_id.split(".")
    message = one.get("message") or one.get("error")
    return NodeResult(
        unique_id=unique_id,
        name=".".join((name, *rest)) if resource_type in ("source", "unit_test") else name,
        resource_type=resource_type,
        status=str(one["status"]),
        message=str(message)[:_MOST_MESSAGE_CHARACTERS] if message else None,
        failures=one.get("failures"),
        seconds=round(float(seconds), 3),
        subject=subject,
    )


def describe_failures(results: Sequence[NodeResult]) -> str | None:
    """What failed, in a sentence for each kind; None: nothing did."""
    failed = [one for one in results if one.failed]
    if not failed:
        return None
    sentences = []
    for kind in dict.fromkeys(one.resource_type for one in failed):
        names = [_described(one) for one in failed if one.resource_type == kind]
        sentences.append(f"{len(names)} {kind}{'s' * (len(names) > 1)} failed: {_listed(names)}")
    if skipped := [one.name for one in results if one.status == "skipped" and one.resource_type == "model"]:
        sentences.append(f"skipped for it: {_listed(skipped)}")
    return "; ".join(sentences)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")


def _described(one: NodeResult) -> str:
    name = f"{one.name} on {one.subject}" if one.subject else one.name
    if one.status == "fail" and one.failures is not None:
        return f"{name} ({one.failures} row{'s' * (one.failures != 1)})"
    lines = [line.strip() for line in (one.message or "").splitlines() if line.strip()]
    # "Database Error in model ratings (models/...)" says nothing that the name does not
    reason = next((line for line in lines if not line.startswith("Database Error in")), "")
    return f"{name} ({reason[:200]})" if reason else name
