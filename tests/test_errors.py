"""Descriptions of values from files of unknown origin."""

from fcpts_ref.errors import counted, printable, shown


def test_short_values_are_shown_as_they_are():
    assert [shown(value) for value in ("a", b"b", 3, 2.5, None, True)] == [
        "'a'", "b'b'", "3", "2.5", "None", "True",
    ]  # fmt: skip


def test_a_number_and_its_noun_agree():
    assert [counted(n, "network") for n in (0, 1, 2, 1000)] == [
        "0 networks", "1 network", "2 networks", "1,000 networks",
    ]  # fmt: skip
    assert [counted(n, "class", "classes") for n in (1, 10)] == ["1 class", "10 classes"]


def test_long_and_nested_values_are_only_described():
    assert len(shown("x" * 10_000)) == 82
    assert shown("\x1b[2J\n") == "'\\x1b[2J\\n'"
    assert shown(1 << 20_000) == "an integer of 20001 bits"
    nested: list[object] = []
    for _ in range(100):
        nested = [nested, nested]  # 2 ** 100 elements to print
    assert shown(nested) == "a list"
    assert shown((1,)) == "a tuple"


def test_control_characters_are_escaped_and_letters_are_not():
    assert printable("größe ≥ 2") == "größe ≥ 2"
    assert (
        printable("a\x1b]0;title\x07\nb\u202ec\udcff") == "a\\x1b]0;title\\x07\\nb\\u202ec\\udcff"
    )
