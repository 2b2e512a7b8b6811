from scripts.audit.findings import (
    LEVELS,
    Sign,
    as_lines,
    as_text,
    at_or_above,
    by_risk,
    clipped,
    printable,
)

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


LISTED = [
    Sign("high", "code", "eval('1')", "runs text").at("a.json", "run::0"),
    Sign("high", "file", "x.so", "compiled").at("x.so", ""),
    Sign("low", "target", "Compose", "known").at("a.json", "net"),
]


def test_text_then_counts_then_the_riskiest_first():
    lines = as_text(LISTED, title="a.json").splitlines()
    assert lines[:2] == ["a.json", "high: 2  medium: 0  problem: 0  low: 1"]
    assert [line for line in lines if line.isupper()] == ["HIGH", "LOW"]
    assert "  code       a.json:run::0" in lines
    assert "  file       x.so" in lines  # a whole file has no id
    assert lines[-1] == "  target     a.json:net  Compose  (known)"


def test_text_without_low_then_still_counted():
    text = as_text(LISTED, title="a.json", low=False)
    assert "low: 1" in text
    assert "Compose" not in text


def test_strict_text_then_one_line_for_each_refused_finding():
    assert as_lines(LISTED, title="a.json").splitlines() == [
        "refused (high): a.json:run::0: eval('1'): runs text",
        "refused (high): x.so: x.so: compiled",
    ]
    assert as_lines(LISTED[2:], title="a.json") == "allowed: a.json"


def test_title_and_texts_with_control_characters_then_written_out():
    hidden = Sign("high", "code", "eval\x1b[1A", "\u202eruns\r").at("a\x07.json", "run")
    text = as_text([hidden], title="a\x1b.json")
    assert not set(text) & set("\x1b\x07\r\u202e")


def test_long_text_then_one_line_of_the_length_asked():
    assert clipped("word\n" * 100, 20) == "word word word word ..."
    assert clipped(" a\n b ") == "a b"
    assert printable("µm, ok\n") == "µm, ok\n"
