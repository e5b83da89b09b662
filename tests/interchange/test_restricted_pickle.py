"""The pickle reader: plain data as pickle reads it, everything else refused and never run."""

import collections
import io
import pickle
import tracemalloc
from typing import Any

import pytest
from damage import damaged_copies
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError, shown
from fcpts_ref.storage import restricted_pickle as module
from fcpts_ref.storage.restricted_pickle import Ignored, OrderedDictionary, Symbol, read_pickle
from interchange.pickles import stream, text

ORDERED = {"collections.OrderedDict": OrderedDictionary}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 80), 1 << 80)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


@given(plain, st.sampled_from([3, 4, 5]))
def test_plain_data_as_pickle_reads_it(value, protocol):
    content = pickle.dumps(value, protocol=protocol)
    assert read_pickle(io.BytesIO(content), {}) == value


@given(st.lists(st.integers() | st.text() | st.none()), st.sampled_from([0, 1, 2]))
def test_older_protocols(value, protocol):
    assert read_pickle(io.BytesIO(pickle.dumps(value, protocol=protocol)), {}) == value


def test_values_used_twice_and_inside_themselves():
    shared = [1]
    found = read_pickle(io.BytesIO(pickle.dumps([shared, shared])), {})
    assert found[0] is found[1]
    shared.append(shared)
    found = read_pickle(io.BytesIO(pickle.dumps(shared)), {})
    assert found[1] is found


def test_it_stops_behind_the_pickle():
    content = io.BytesIO(pickle.dumps("one") + pickle.dumps("two"))
    assert [read_pickle(content, {}) for _ in range(2)] == ["one", "two"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_ordered_dicts_as_both_pythons_write_them(protocol):
    value: Any = collections.OrderedDict([("b", 1), ("a", 2)])
    value._metadata = {"version": 1}
    found = read_pickle(io.BytesIO(pickle.dumps(value, protocol=protocol)), ORDERED)
    assert list(found.items()) == [("b", 1), ("a", 2)]
    python2 = b"ccollections\nOrderedDict\n(](](U\x01bK\x01e](U\x01aK\x02eetR"
    assert read_pickle(stream(python2), ORDERED) == value


def test_a_name_that_may_appear_but_not_be_called():
    assert read_pickle(stream(b"ca\nb\n"), {"a.b": None}) == Symbol("a.b")
    with pytest.raises(InputError, match=r"a call of a\.b: refused"):
        read_pickle(stream(b"ca\nb\n)R"), {"a.b": None})


def test_persistent_ids():
    assert read_pickle(stream(text("key") + b"Q"), {}, str.upper) == "KEY"
    with pytest.raises(InputError, match="data outside the pickle"):
        read_pickle(stream(text("key") + b"Q"), {})


class Runs:
    """Its pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def owned(*_):
    pytest.fail("code from a pickle was run")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "attack",
    [
        Runs(owned),
        Runs(eval, "1 + 1"),
        Runs(getattr, "a", "upper"),
        Runs(Runs, owned),
        Runs(__import__, "os"),
        Runs(collections.OrderedDict, [("a", Runs(owned))]),
        {"state_dict": Runs(owned)},
        Runs,
        {1, 2},
        complex(1, 2),
        slice(1),
        pickle.PickleError("x"),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_everything_else_is_refused(attack, protocol):
    content = pickle.dumps(attack, protocol=protocol)
    with pytest.raises(InputError, match=r"refused"):
        read_pickle(io.BytesIO(content), ORDERED)


@pytest.mark.parametrize(
    "operations",
    [
        b"cos\nsystem\n(U\x02lstR",
        b"(U\x02lsios\nsystem\n",
        b"(cos\nsystem\nU\x02lso",
        b"cposixpath\nos.system\n(tR",
        b"U\x02osU\x06system\x93)R",
        b"c\n\n",
        b"c" + b"x" * 100_000 + b"\ny\n",
        b"cos\nsystem\n)\x81",
        b"cos\nsystem\n)}\x92",
        b"\x82\x01",
        b"ccollections\nOrderedDict\n)Rccollections\nOrderedDict\n)RR",
        b"]]b",
        b"](K\x01K\x02u",
        b"}(K\x01u",
        b"}]K\x01s",
        b"}((tK\x01ts",
        b"K\x01K\x02a",
        b"h\x00",
        b"(",
        b"",
        b"t",
        b"0",
        b"2",
        b"(\x85",
        b"\xff",
        b"Pkey\n",
        b"X\xff\xff\xff\x7fabc",
        b"T\xff\xff\xff\x7fabc",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc",
        b"\x8b\xff\xff\xff\x7fabc",
        b"S'\\xff'\n",
        b"I" + b"9" * 10_000 + b"\n",
        b"ccollections\nOrderedDict\nK\x01\x85R",
        b"ccollections\nOrderedDict\n]]a\x85R",
        b"ccollections\nOrderedDict\n](]]e\x85R",
    ],
)
def test_broken_and_malicious_operations(operations):
    with pytest.raises(InputError, match="pickle, before byte") as caught:
        read_pickle(stream(operations), ORDERED)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_nested_tuples_as_keys_do_not_take_for_ever():
    nested = b"K\x01" + b"2\x86" * 60  # a pair of a pair of ...: 2^60 steps to hash
    with pytest.raises(InputError, match="a tuple as a key: refused"):
        read_pickle(stream(b"}" + nested + b"K\x01s"), {})


def test_depth_is_no_danger():
    found = read_pickle(stream(b"]" * 200_000 + b"a" * 199_999), {})
    assert len(found) == 1
    while found:  # dismantled from the outside, for interpreters with a small stack
        found = found[0]


def test_the_number_of_operations_is_limited(monkeypatch):
    monkeypatch.setattr(module, "MAX_OPERATIONS", 100)
    assert read_pickle(stream(b"]" + b"N0" * 40), {}) == []
    with pytest.raises(InputError, match="more than 100 operations"):
        read_pickle(stream(b"]" + b"N0" * 60), {})


@pytest.mark.parametrize("operation", [b"X", b"T", b"B", b"\x8b"])
def test_memory_follows_the_bytes_that_are_there_not_those_claimed(operation):
    tracemalloc.start()
    with pytest.raises(InputError):
        read_pickle(stream(operation + b"\xff\xff\xff\x7f" + b"x" * 1000), {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_calls_cannot_multiply_what_they_are_given():
    big = b"](" + b"]K\x01aK\x01a" * 1000 + b"eq\x00"
    call = b"ccollections\nOrderedDict\nh\x00\x85R"
    with pytest.raises(InputError, match="multiplies its own contents"):
        read_pickle(stream(big + b"(" + call * 1000 + b"t"), ORDERED)


LIST = b"]q\x00"


def doubled(times, first=LIST):
    """A list that holds the same list twice, and so on: 2 ** times elements to print."""
    step = b"]q\x01(h\x00h\x00eq\x00" + b"0h\x00"  # a list of two, remembered in its place
    return first + step * times


@pytest.mark.parametrize(
    "use",
    [
        b"\x85R",  # passed to a constructor that prints its argument
        b"0ccollections\nOrderedDict\nh\x00K\x01\x86R",
        b"K\x01\x93",  # as the name of a module
        b"}h\x00K\x01s",  # as a key
        b"Q",  # as a persistent id
    ],
)
def test_a_list_that_doubles_is_never_printed(use):
    def refuse(value=None, *_):
        raise InputError(f"got {shown(value)}")

    names = {"collections.OrderedDict": OrderedDictionary, "a.b": refuse}
    with pytest.raises(InputError) as caught:
        read_pickle(stream(b"ca\nb\n" + doubled(60) + use), names, refuse)
    assert len(str(caught.value)) < 200


def test_a_tuple_counts_as_what_it_holds():
    big = b"(" + b"]K\x01aK\x01a" * 1000 + b"tq\x00"
    call = b"ccollections\nOrderedDict\nh\x00\x85R"
    with pytest.raises(InputError, match="multiplies its own contents"):
        read_pickle(stream(big + b"(" + call * 1000 + b"t"), ORDERED)


def test_persistent_ids_cannot_multiply_what_they_are_given():
    big = b"(" + b"N" * 10_000 + b"tq\x00"
    with pytest.raises(InputError, match="multiplies its own contents"):
        read_pickle(stream(big + b"(" + b"h\x00Q" * 10_000 + b"t"), {}, len)


def test_what_calls_are_given_is_measured_by_what_was_read_not_by_what_follows():
    """Behind the pickle of the older container there are megabytes of weights."""
    big = b"](" + b"]K\x01aK\x01a" * 1000 + b"eq\x00"
    call = b"ccollections\nOrderedDict\nh\x00\x85R"
    content = stream(big + b"(" + call * 1000 + b"t").getvalue() + bytes(100_000_000)
    with pytest.raises(InputError, match="multiplies its own contents"):
        read_pickle(io.BytesIO(content), ORDERED)


def test_numbers_without_end_are_refused():
    number = (1 << 5000).to_bytes(700, "little")
    content = b"\x8b" + len(number).to_bytes(4, "little") + number
    with pytest.raises(InputError, match="an integer of 5001 bits: refused"):
        read_pickle(stream(content), {})


def test_keys_of_one_hash_do_not_take_for_ever():
    modulus = (1 << 61) - 1  # Python's hash of an integer is the rest by this
    keys = [(k * modulus).to_bytes(16, "little") for k in range(1, 100_000)]
    items = b"".join(b"\x8a\x10" + key + b"N" for key in keys)
    with pytest.raises(InputError, match="many large numbers as keys"):
        read_pickle(stream(b"}(" + items + b"u"), {})


SETS = dict.fromkeys(("builtins.set", "builtins.frozenset", "__builtin__.set"), Ignored)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_sets_are_left_out_where_they_are_admitted(protocol):
    content = pickle.dumps({"a": {1, 2}, "b": 3}, protocol=protocol)
    found = read_pickle(io.BytesIO(content), SETS)
    assert isinstance(found["a"], Ignored)
    assert found["b"] == 3


def test_damaged_pickles_are_refused_or_read():
    value = {"a": [1, 2.5, "text", b"bytes", None, True], "b": collections.OrderedDict(x=(1, 2))}
    for protocol in range(6):
        for content in damaged_copies(pickle.dumps(value, protocol=protocol), 600, protocol):
            try:
                read_pickle(io.BytesIO(content), ORDERED)
            except InputError as error:
                message = str(error)
                assert message.startswith(("pickle", "broken"))


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_read(content):
    try:
        read_pickle(io.BytesIO(content), ORDERED)
    except InputError:
        return
