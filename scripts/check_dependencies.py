#!/usr/bin/env python3
"""Checks the dependency graph: arrows between our crates, bans, licences and sources.

Reads `cargo metadata`, deny.toml (cargo-deny's format) and scripts/arrows.toml. Prints one line for
each violation, with the rule it breaks, and exits 1 if there is any.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Graph:
    """Packages by id, and their edges as (package id, kind), kind None, "build" or "dev"."""

    def __init__(self, metadata):
        self.packages = {package["id"]: package for package in metadata["packages"]}
        self.members = set(metadata["workspace_members"])
        self.edges = {
            node["id"]: [
                (dep["pkg"], kind["kind"]) for dep in node["deps"] for kind in dep["dep_kinds"]
            ]
            for node in metadata["resolve"]["nodes"]
        }

    def name(self, package):
        return self.packages[package]["name"]

    def reached(self, package):
        """Names of all packages that building `package` needs."""
        seen, todo = set(), [package]
        while todo:
            for dep, kind in self.edges.get(todo.pop(), []):
                if kind != "dev" and dep not in seen:
                    seen.add(dep)
                    todo.append(dep)
        return {self.name(dep) for dep in seen}


def check_arrows(graph, rules):
    """Arrows between workspace crates, tests apart, and what must not be reached at all."""
    ours = {graph.name(member) for member in graph.members}
    for member in sorted(graph.members, key=graph.name):
        name = graph.name(member)
        if name not in rules["crates"]:
            yield f"{name}: not drawn in scripts/arrows.toml"
            continue
        allowed = set(rules["crates"][name])
        in_tests = allowed | set(rules["tests"].get(name, []))
        for dep, kind in graph.edges[member]:
            target = graph.name(dep)
            if target in ours and target not in (in_tests if kind == "dev" else allowed):
                where = "its tests depend" if kind == "dev" else "depends"
                yield f"{name}: {where} on {target}, an arrow that scripts/arrows.toml does not draw"
        for target in sorted(graph.reached(member) & set(rules["never"].get(name, []))):
            yield f"{name}: reaches {target}, which it never may"
    for name in sorted(set(rules["crates"]) - ours):
        yield f"{name}: drawn in scripts/arrows.toml, but not in the workspace"


def check_direct(graph, rules):
    """Third-party crates that only some of ours may name."""
    for member in sorted(graph.members, key=graph.name):
        for target in sorted({graph.name(dep) for dep, kind in graph.edges[member] if kind != "dev"}):
            owners = rules["direct"].get(target)
            if owners is not None and graph.name(member) not in owners:
                yield f"{graph.name(member)}: names {target}; only {', '.join(owners)} may"


def check_bans(graph, rules):
    """`bans.deny` of deny.toml: crates refused, or allowed only below their wrappers."""
    for ban in rules["deny"]:
        for package, edges in graph.edges.items():
            for dep, _ in edges:
                if graph.name(dep) == ban["crate"] and graph.name(package) not in ban.get("wrappers", []):
                    yield f"{graph.name(package)}: depends on {ban['crate']}: {ban['reason']}"
    for member in graph.members:
        for dep in graph.packages[member]["dependencies"]:
            if dep["req"] == "*" and not dep.get("path"):
                yield f"{graph.name(member)}: {dep['name']} has no version"


def licence_allowed(expression, allowed):
    """Whether an SPDX expression can be met with the licences of `allowed`."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def any_of():
        met = all_of()
        while tokens and tokens[0].upper() == "OR":
            tokens.pop(0)
            met = all_of() or met
        return met

    def all_of():
        met = one()
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            met = one() and met
        return met

    def one():
        token = tokens.pop(0)
        if token == "(":
            met = any_of()
            tokens.pop(0)
            return met
        if tokens and tokens[0].upper() == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allowed

    return any_of()


def check_licences(graph, rules):
    """Every package's licence against the allow-list; exceptions name the crate."""
    exceptions = {rule["crate"]: rule["allow"] for rule in rules.get("exceptions", [])}
    for package in sorted({node for node in graph.edges}, key=graph.name):
        licence = graph.packages[package]["license"]
        allowed = set(rules["allow"]) | set(exceptions.get(graph.name(package), []))
        if not licence:
            yield f"{graph.name(package)}: names no licence"
        elif not licence_allowed(licence, allowed):
            yield f"{graph.name(package)}: licence `{licence}` is not allowed by deny.toml"


def check_sources(graph, rules):
    """Packages come from the workspace or an allowed registry."""
    allowed = {f"registry+{url}" for url in rules["allow-registry"]}
    for package in sorted(graph.edges, key=graph.name):
        source = graph.packages[package]["source"]
        if source is None and package not in graph.members:
            yield f"{graph.name(package)}: a path outside the workspace"
        elif source is not None and source not in allowed:
            yield f"{graph.name(package)}: comes from {source}"


def metadata(target):
    """`cargo metadata` as built for `target`."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return json.loads(output.stdout)


def violations(graph, deny, arrows):
    """All violations of all rules."""
    yield from check_arrows(graph, arrows)
    yield from check_direct(graph, arrows)
    yield from check_bans(graph, deny["bans"])
    yield from check_licences(graph, deny["licenses"])
    yield from check_sources(graph, deny["sources"])


def main():
    deny = tomllib.loads((ROOT / "deny.toml").read_text())
    arrows = tomllib.loads((ROOT / "scripts/arrows.toml").read_text())
    found = set()
    for target in deny["graph"]["targets"]:
        graph = Graph(metadata(target))
        found.update(violations(graph, deny, arrows))
    for line in sorted(found):
        print(f"error: {line}")
    if found:
        sys.exit(1)
    print(f"dependencies: {len(graph.edges)} packages, arrows, bans, licences and sources as they should be")


if __name__ == "__main__":
    main()
