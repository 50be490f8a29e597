"""What deploy/kubernetes builds to, and what is wrong with it."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from support.stack import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
#: The release of Kubernetes that its own kinds are validated against.
KUBERNETES = "1.37"

Resource = dict[str, Any]


@functools.cache
def _built(overlay: str) -> str:
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [str(kubectl), "kustomize", str(FOLDER / "overlays" / overlay)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def build(overlay: str) -> list[Resource]:
    """Every resource that an overlay is made of, as ``kubectl apply -k`` would send it."""
    return [resource for resource in yaml.safe_load_all(_built(overlay)) if resource]


def of_kind(resources: list[Resource], kind: str) -> dict[str, Resource]:
    """The resources of a kind, by name."""
    return {one["metadata"]["name"]: one for one in resources if one["kind"] == kind}


def faults(resource: Resource) -> list[str]:
    """What a schema says against a resource; a kind without a schema is a fault."""
    group, _, version = resource["apiVersion"].rpartition("/")
    name = f"{resource['kind'].lower()}-{group}-{version}.json"
    if not (FOLDER / "schemas" / name).exists():
        return _faults_of_kubernetes(resource)
    found = [f"{fault.json_path}: {fault.message}" for fault in _validator(name).iter_errors(resource)]
    return found + [fault for pod in _pod_templates(resource) for fault in _faults_of_kubernetes(pod)]


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / "schemas" / name).read_text(encoding="utf-8")))


def _faults_of_kubernetes(resource: Resource) -> list[str]:
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as fault:
        return [str(getattr(fault, "message", fault))]
    return []


def _pod_templates(resource: Resource) -> Iterator[Resource]:
    """The pods that an operator is told to make, as Kubernetes would see them."""
    for template in resource["spec"].get("templates", {}).get("podTemplates", []):
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": template["name"]},
            "spec": template["spec"],
        }


def containers(resources: list[Resource]) -> Iterator[tuple[str, Resource, Resource]]:
    """Each container that the resources make: whose, the pod's description, its own."""
    for one in resources:
        for pod in _pods(one):
            for container in pod["containers"]:
                yield one["metadata"]["name"], pod, container


def _pods(resource: Resource) -> list[Resource]:
    if resource["kind"] in {"Deployment", "Job"}:
        return [resource["spec"]["template"]["spec"]]
    if resource["kind"].startswith("ClickHouse"):
        return [
            template["spec"] for template in resource["spec"].get("templates", {}).get("podTemplates", [])
        ]
    return []
