"""Shows that check_dependencies.py turns red on each kind of violation."""

import unittest

import check_dependencies as check

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
DENY = {
    "bans": {"deny": [{"crate": "heavy", "wrappers": ["subak-data"], "reason": "slow to build"}]},
    "licenses": {"allow": ["MIT", "Apache-2.0"]},
    "sources": {"allow-registry": ["https://github.com/rust-lang/crates.io-index"]},
}
ARROWS = {
    "crates": {"subak-app": ["subak-data"], "subak-data": []},
    "tests": {"subak-data": ["subak-app"]},
    "never": {"subak-data": ["socket"]},
    "direct": {"pretty": ["subak-app"]},
}


def graph(edges, licence="MIT", source=REGISTRY):
    """Two crates of ours and three of others, with these edges: (from, to, kind)."""
    ours = ["subak-app", "subak-data"]
    names = ours + ["heavy", "pretty", "socket"]
    return check.Graph({
        "packages": [
            {
                "id": name,
                "name": name,
                "license": "MIT" if name in ours else licence,
                "source": None if name in ours else source,
                "dependencies": [],
            }
            for name in names
        ],
        "workspace_members": ours,
        "resolve": {
            "nodes": [
                {
                    "id": name,
                    "deps": [
                        {"pkg": to, "dep_kinds": [{"kind": kind}]}
                        for start, to, kind in edges
                        if start == name
                    ],
                }
                for name in names
            ]
        },
    })


class Violations(unittest.TestCase):
    def check(self, edges, expected, **kwargs):
        found = list(check.violations(graph(edges, **kwargs), DENY, ARROWS))
        self.assertEqual([line for line in found if expected in line], found)
        self.assertEqual(bool(found), expected != "")

    def test_a_graph_as_drawn_is_accepted(self):
        edges = [("subak-app", "subak-data", None), ("subak-data", "heavy", None)]
        self.assertEqual(list(check.violations(graph(edges), DENY, ARROWS)), [])

    def test_an_arrow_upwards_is_found_outside_tests_only(self):
        self.check([("subak-data", "subak-app", None)], "subak-data: depends on subak-app")
        self.assertEqual(
            list(check.violations(graph([("subak-data", "subak-app", "dev")]), DENY, ARROWS)), []
        )

    def test_what_must_not_be_reached_is_found_at_any_distance(self):
        edges = [("subak-data", "heavy", None), ("heavy", "socket", None)]
        self.check(edges, "subak-data: reaches socket")

    def test_a_crate_named_by_the_wrong_one_is_found(self):
        self.check([("subak-data", "pretty", None)], "names pretty; only subak-app may")

    def test_a_banned_crate_outside_its_wrapper_is_found(self):
        self.check([("subak-app", "heavy", None)], "slow to build")

    def test_a_licence_off_the_list_is_found(self):
        self.check([], "is not allowed by deny.toml", licence="GPL-3.0-only")

    def test_another_source_is_found(self):
        self.check([], "comes from git", source="git+https://example.org/x")

    def test_spdx_expressions(self):
        allowed = {"MIT", "Apache-2.0 WITH LLVM-exception"}
        for expression, met in [
            ("MIT", True),
            ("MIT/GPL-2.0", True),
            ("GPL-2.0 OR MIT", True),
            ("GPL-2.0 AND MIT", False),
            ("(GPL-2.0 OR MIT) AND MIT", True),
            ("(GPL-2.0 OR MIT) AND Zlib", False),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("Apache-2.0", False),
        ]:
            self.assertEqual(check.licence_allowed(expression, allowed), met, expression)


if __name__ == "__main__":
    unittest.main()
