from scripts.audit.findings import LEVELS, Sign, at_or_above, by_risk, count_levels

FINDINGS = [
    Sign("low", "target", "Compose", "known").at("b.json", "net"),
    Sign("problem", "id", "lr", "unused").at("a.json", "lr"),
    Sign("high", "code", "eval", "runs text").at("z.json", "run::0"),
    Sign("medium", "read", "open", "reads").at("a.json", "data"),
    Sign("high", "code", "exec", "runs text").at("a.json", "run::1"),
    Sign("high", "code", "eval", "runs text").at("z.json", "run::0"),
]


def test_by_risk_then_level_first_file_second_each_once():
    assert [(f.level, f.file) for f in by_risk(FINDINGS)] == [
        *(("high", "a.json"), ("high", "z.json"), ("medium", "a.json")),
        *(("problem", "a.json"), ("low", "b.json")),
    ]


def test_at_or_above_then_never_fewer_for_a_lower_threshold():
    counts = [len(at_or_above(FINDINGS, level)) for level in LEVELS]
    assert counts == [3, 4, 5, 6]


def test_count_levels_then_every_level_even_without_findings():
    assert count_levels(FINDINGS) == {"high": 3, "medium": 1, "problem": 1, "low": 1}
    assert count_levels([]) == dict.fromkeys(LEVELS, 0)


def test_as_dict_then_the_entries_of_the_json_report():
    assert FINDINGS[1].as_dict() == {
        **{"level": "problem", "kind": "id", "what": "lr", "why": "unused"},
        **{"file": "a.json", "place": "lr"},
    }
