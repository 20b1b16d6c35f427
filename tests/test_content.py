"""One digest for the same data: whoever holds it, however it lies in memory."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mlgit.data import content
from mlgit.data.content import describe, is_table, write_parquet
from mlgit.errors import Invalid, MlgitError, WriteFailed

TAXI = Path(__file__).resolve().parents[2] / "shared" / "data" / "nyc-taxi"


def digest(x: Any) -> str:
    return describe(x).digest


# The stream itself: frozen, and made by hand here.


def test_the_digest_is_the_md5_of_the_documented_stream() -> None:
    table = pa.table(
        {
            "n": pa.array([1, None, -3], pa.int32()),
            "x": pa.array([0.5, math.nan, None]),
            "s": ["é", None, ""],
            "t": pa.array([1500, None, -1], pa.timestamp("ms")),
        }
    )
    types = [["n", "int32"], ["x", "float64"], ["s", "string"], ["t", "timestamp"]]
    nan = struct.pack("<Q", 0x7FF8 << 48)
    blocks = [
        b"\1\x05" + struct.pack("<3i", 1, 0, -3),
        b"\0" + struct.pack("<d", 0.5) + nan + nan,
        b"\1\x05" + struct.pack("<3q", 2, 0, 0) + "é".encode(),
        b"\1\x05" + struct.pack("<3q", 1, 0, -1) + struct.pack("<3i", 500_000_000, 0, 999_000_000),
    ]
    stream = b"\x01" + json.dumps(["table", [3, 4], types], separators=(",", ":")).encode() + b"\n"
    stream += b"".join(hashlib.md5(block).digest() for block in blocks)
    assert digest(table) == hashlib.md5(stream).hexdigest()


def test_digests_are_for_ever() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "c": [True, False, True]})
    assert digest(frame) == "160bb833a9e8bca3a3f0d833150e7018"
    assert digest(np.arange(6.0).reshape(2, 3)) == "42ad5cf989fd4afc4f0830513512c652"
    assert digest(sparse.eye(3, format="coo")) == "6bf31fa5d756fd493874050245ec8a6f"
    assert (
        digest(pa.table({"a": np.arange(300_000)})) == "760adca32e4680c1f392e0f3f25ce3ae"
    )  # three blocks


# The same data

TYPES = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint16": (pa.uint16(), st.integers(0, 2**16 - 1)),
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats()),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=5)),
    "binary": (pa.binary(), st.binary(max_size=5)),
    "timestamp": (pa.timestamp("us"), st.integers(-(2**53), 2**53)),
    "zoned": (pa.timestamp("ns", "Europe/Berlin"), st.integers(-(2**60), 2**60)),
    "date": (pa.date32(), st.integers(-100_000, 100_000)),
    "duration": (pa.duration("ms"), st.integers(-(2**40), 2**40)),
}


@st.composite
def tables(draw: st.DrawFn, *names: str, nulls: bool = True) -> pa.Table:
    rows = draw(st.integers(0, 20))
    columns = {}
    for name in names or TYPES:
        kind, values = TYPES[name]
        values = st.none() | values if nulls else values
        columns[name] = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)
    return pa.table(columns)


@st.composite
def in_chunks(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    cuts = draw(st.lists(st.integers(0, len(table)), max_size=4).map(sorted))
    ends = zip([0, *cuts], [*cuts, len(table)], strict=True)
    # Each piece is cut out of something larger, so that nothing begins where its buffer does.
    pieces = [pa.concat_tables([table[-3:], table[a:b], table[:3]])[len(table[-3:]) :][: b - a]
              for a, b in ends]  # fmt: skip
    return pa.concat_tables(pieces)


@settings(max_examples=40)
@given(st.data())
def test_chunks_and_offsets_do_not_count(data: st.DataObject) -> None:
    table = data.draw(tables())
    again = data.draw(in_chunks(table))
    assert again.to_pydict().keys() == table.to_pydict().keys()
    with mock.patch.object(content, "BLOCK", data.draw(st.integers(1, 9))):
        assert digest(again) == digest(table)
        assert digest(pl.from_arrow(again)) == digest(table)


@settings(max_examples=40)
@given(tables())
def test_arrow_polars_and_pandas_agree(table: pa.Table) -> None:
    expected = digest(table)
    assert digest(pl.from_arrow(table)) == expected
    assert digest(table.to_pandas(types_mapper=pd.ArrowDtype)) == expected
    for batch in table.combine_chunks().to_batches():
        assert digest(batch) == expected


@given(tables(*[name for name in TYPES if name != "date"], nulls=False).filter(len))
def test_numpy_backed_pandas_agrees(table: pa.Table) -> None:
    assert digest(table.to_pandas()) == digest(table)
    assert digest(table.to_pandas(split_blocks=True)) == digest(table)


MASKED = {pa.int8(): pd.Int8Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(),
          pa.float32(): pd.Float32Dtype(), pa.string(): pd.StringDtype("python")}  # fmt: skip


def _some(table: pa.Table) -> bool:
    """Objects show their type, and pandas keeps no other for some columns."""
    return all(column.null_count < len(table) for column in table.columns)


@given(tables("int8", "int64", "bool", "float32", "string", "date").filter(_some))
def test_pandas_nullable_and_object_columns_agree(table: pa.Table) -> None:
    frame = table.to_pandas(types_mapper=MASKED.get)
    assert digest(frame) == digest(table)


@given(tables("string", "int64").filter(_some))
def test_a_category_is_its_value(table: pa.Table) -> None:
    coded = pa.table([column.dictionary_encode() for column in table.columns], table.column_names)
    assert digest(coded) == digest(table)
    assert digest(coded.to_pandas()) == digest(table)
    polars = pl.from_arrow(table).with_columns(pl.col("string").cast(pl.Categorical))
    assert digest(polars) == digest(table)


@given(npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=0, max_side=4)))
def test_the_layout_of_an_array_does_not_count(array: np.ndarray) -> None:
    try:
        describe(array)
    except Invalid:
        assert array.dtype.kind in "Mmfc"  # odd units, long doubles
        return
    wide = np.empty((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    others = [np.asfortranarray(array), array.astype(array.dtype.newbyteorder()), wide[..., 0]]
    with mock.patch.object(content, "BLOCK", 3):
        expected = digest(array)
        for other in others if array.ndim else others[1:]:  # Fortran has no scalars
            assert digest(other) == expected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-2, 2)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_format_of_a_sparse_matrix_does_not_count(entries: list[Any], random: Any) -> None:
    def coo(entries: list[Any]) -> Any:
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        return sparse.coo_array((np.array(values, "f8"), (rows, columns)), shape=(4, 5))

    expected = digest(coo(entries))
    assert digest(coo(random.sample(entries, len(entries)))) == expected
    assert digest(sparse.csr_matrix(coo(entries).toarray())) == expected
    for form in ("csr", "csc", "lil", "dok", "bsr", "dia"):
        x = coo(entries).asformat(form)
        before = x.nnz
        assert digest(x) == expected
        assert x.nnz == before  # it is left as it was


def test_units_of_time_do_not_count() -> None:
    seconds = pd.Series(pd.to_datetime(["2021-01-01 00:00:01", None, "1969-12-31 23:59:59"]))
    assert len({digest(seconds.astype(f"M8[{unit}]")) for unit in ("s", "ms", "us", "ns")}) == 1
    hours = np.array([1, -5], "m8[h]")
    assert digest(hours) == digest(hours.astype("m8[ns]"))
    zoned = seconds.dt.tz_localize("UTC")
    assert digest(zoned) != digest(seconds)
    assert digest(zoned) == digest(pl.from_pandas(zoned))


def test_an_index_that_is_no_data_does_not_count() -> None:
    frame = pd.DataFrame({"a": [3, 1, 2], "b": list("xyz")})
    expected = digest(frame)
    assert digest(frame.set_axis([7, 7, 9])) == expected
    assert digest(pd.concat([frame, frame])[frame.columns].iloc[3:]) == expected
    assert digest(pd.concat([frame[:1].assign(a=9), frame])[1:]) == expected


@pytest.mark.parametrize(
    "indexed",
    [
        pd.DataFrame({"a": [3, 1], "b": list("xy")}).set_index("b"),
        pd.DataFrame({"a": [3, 1], "b": list("xy"), "c": [0, 1]}).set_index(["b", "c"]),
        pd.DataFrame({"a": [3, 1]}, index=["p", "q"]),
        pd.DataFrame({"a": [3, 1]}, index=pd.date_range("2021", periods=2)),
        pd.DataFrame({"a": [3, 1]}, index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)])),
        pd.Series([3, 1], index=["p", "q"], name="a"),
    ],
    ids=["named", "levels", "text", "times", "unnamed levels", "series"],
)
def test_an_index_that_is_data_counts_as_leading_columns(indexed: Any) -> None:
    assert digest(indexed) == digest(indexed.reset_index())
    assert digest(indexed) != digest(indexed.reset_index(drop=True))


def test_a_series_is_a_table_of_one_column() -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    assert digest(frame["a"]) == digest(frame) == digest(pl.Series("a", [1, 2]))


def test_nested_values_agree() -> None:
    values = [[1.0, 2.0], None, [], [math.nan]]
    plain = pa.table({"v": pa.array(values, pa.list_(pa.float64()))})
    assert describe(plain).columns == (("v", "list<float64>"),)
    assert digest(plain) == digest(pa.table({"v": pa.array(values, pa.large_list(pa.float64()))}))
    assert digest(plain) == digest(pl.DataFrame({"v": values}))
    assert digest(plain) == digest(plain.to_pandas())
    rows = [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]
    assert describe(pa.table({"r": rows})).columns[0][1] == 'struct<"a":int64,"b":string>'
    structs = pa.table({"r": rows})
    assert digest(pa.concat_tables([structs, structs])[1:5]) == digest(
        pa.table({"r": (rows * 2)[1:5]})
    )
    assert digest(structs.filter([True, False, True])) == digest(pl.DataFrame({"r": rows[::2]}))
    pairs = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    assert digest(pa.table({"m": pairs})) != digest(pa.table({"m": pairs[:1]}))
    fixed = pa.array([[1, 2], [3, 4], None], pa.list_(pa.int64(), 2))
    assert digest(pa.table({"f": fixed[1:]})) == digest(pa.table({"f": [[3, 4], None]}))


def test_other_types_agree() -> None:
    numbers = [decimal.Decimal("1.50"), None, decimal.Decimal("-20")]
    expected = digest(pa.table({"d": pa.array(numbers, pa.decimal128(9, 2))}))
    assert digest(pa.table({"d": pa.array(numbers, pa.decimal128(12, 4))})) == expected
    assert digest(pd.DataFrame({"d": numbers})) == expected
    times = pa.table({"t": pa.array([1, None], pa.time32("s"))})
    assert digest(times) == digest(pl.from_arrow(times))
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], "int32"), pa.array(["a", "b"]))
    assert digest(pa.table({"r": ends})) == digest(pa.table({"r": ["a", "a", "b"]}))
    gaps = pd.Series(pd.arrays.SparseArray([0, 0, 1]), name="s")
    assert digest(gaps) == digest(pd.Series([0, 0, 1], name="s"))
    view = pa.array(["a", None, "b" * 20]).cast(pa.string_view())
    assert digest(pa.table({"v": view})) == digest(pa.table({"v": ["a", None, "b" * 20]}))


def test_objects_have_the_type_of_what_they_are() -> None:
    def kind(*values: Any) -> str:
        return describe(pd.Series(values, dtype=object)).columns[0][1]

    assert kind(1, 2) == kind(1, None, np.int64(3)) == kind(pd.NA, 5) == "int64"
    assert kind(2**63) == "uint64"
    assert kind(1, 2.5) == kind(1.0, math.nan) == "float64"
    assert kind(True, None) == "bool"
    assert kind("a", math.nan) == kind(np.str_("a")) == "string"
    assert kind(b"a") == "binary"
    assert kind(datetime.date(2021, 1, 1), pd.NaT) == "date"
    assert kind(datetime.datetime(2021, 1, 1)) == "timestamp"
    assert kind(None, math.nan, pd.NA) == kind() == "null"
    assert kind("1", 1) == kind(True, 0) == "mixed"
    assert digest(pd.Series(["1", 1], dtype=object)) != digest(pd.Series([1, "1"], dtype=object))


@pytest.mark.skipif(not TAXI.is_dir(), reason=f"the data is not here: {TAXI}")
def test_a_real_file_is_the_same_table_for_all_its_readers() -> None:
    for path in sorted(TAXI.glob("*.parquet")):
        table = pq.read_table(path)
        assert digest(pl.read_parquet(path)) == digest(table)
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)
        assert digest(frame) == digest(table)
        assert digest(frame[frame["trip_distance"] >= -1].copy()) == digest(table)


# Different data


@given(st.data())
def test_a_changed_value_changes_the_digest(data: st.DataObject) -> None:
    table = data.draw(tables(nulls=False).filter(len))
    name = data.draw(st.sampled_from(table.column_names))
    row = data.draw(st.integers(0, len(table) - 1))
    kind = table.schema.field(name).type
    column = table[name].combine_chunks()
    changed = pa.concat_arrays([column[:row], pa.nulls(1, kind), column[row + 1 :]])  # fmt: skip
    other = table.set_column(table.column_names.index(name), name, changed)
    same = kind in (pa.float32(), pa.float64()) and math.isnan(column[row].as_py())
    assert (digest(other) == digest(table)) == same


def test_what_counts() -> None:
    base = pa.table({"a": [1, 2], "b": ["x", "y"]})
    others = [
        base.select(["b", "a"]),
        base.rename_columns(["a", "c"]),
        base.take([1, 0]),
        base[:1],
        base.append_column("c", [[None, None]]),
        base.set_column(0, "a", pa.array([1, 2], pa.int32())),
        base.set_column(0, "a", pa.array([1.0, 2.0])),
        base.set_column(1, "b", [["xy", ""]]),
        base.set_column(1, "b", [["x", None]]),
        base.set_column(1, "b", [["x", ""]]),
    ]
    assert len({digest(x) for x in [base, *others]}) == len(others) + 1


def test_shapes_and_kinds_count() -> None:
    array = np.arange(6)
    frame = pd.DataFrame({"0": array})
    grown = [array, array.reshape(2, 3), array.reshape(3, 2), array.astype("f8"), frame]
    assert len({digest(x) for x in grown}) == len(grown)
    wide = [sparse.csr_array(np.eye(2)), sparse.csr_array(np.eye(2, 3)), np.eye(2)]
    assert len({digest(x) for x in wide}) == len(wide)


def test_content_tells_the_outline() -> None:
    found = describe(pd.DataFrame({"a": [1, 2], 3: [None, "x"]}))
    assert (found.kind, found.rows, found.shape) == ("table", 2, (2, 2))
    assert found.columns == (("a", "int64"), ("3", "string"))
    assert describe(np.zeros((4, 5), "f4"))[1:] == ("array", (4, 5), (("", "float32"),))
    assert describe(np.ones(())).rows == 1
    assert describe(sparse.eye(7)).shape == (7, 7)


# What is no table, or no table we know


def test_what_is_a_table() -> None:
    class Frame(pd.DataFrame):
        pass

    good = [pd.DataFrame(), Frame(), pd.Series([1]), pl.DataFrame(), pl.Series(), pl.LazyFrame()]
    good += [pa.table({}), np.zeros(2), sparse.eye(2), sparse.csr_array(np.eye(2))]
    assert all(is_table(x) for x in good)
    assert not any(is_table(x) for x in [1, "data.csv", [1], {"a": [1]}, None, pd.DataFrame])


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (pl.LazyFrame({"a": [1]}), "collect"),
        ({"a": [1]}, "no table"),
        (np.ma.masked_array([1, 2], [True, False]), "filled"),
        (pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), "'o'"),
        (pd.DataFrame({"o": [object(), 1]}), "'o'"),
        (pd.DataFrame({"p": pd.array([1, 2j])}), ""),
        (np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), "spelling"),
        (np.array(["\ud800"]), "surrogates"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_told_is_refused(x: Any, says: str) -> None:
    if says:
        with pytest.raises(Invalid) as caught:
            describe(x)
        assert says in str(caught.value)
    else:
        assert describe(x).columns[0][1] == "complex128"


# Storing


@settings(max_examples=40)
@given(tables())
def test_what_is_stored_reads_back_the_same(table: pa.Table) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        for x in (table, pl.from_arrow(table), table.to_pandas(types_mapper=pd.ArrowDtype)):
            assert write_parquet(x, path) == ".parquet"
            assert digest(pq.read_table(path)) == digest(table)


def test_the_same_table_is_stored_as_the_same_bytes(tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(1000) % 7, "s": [f"{i % 13}" for i in range(1000)]})
    one, two = tmp_path / "one", tmp_path / "two"
    write_parquet(table, one)
    write_parquet(pa.concat_tables([table[:10], table[10:]]), two)
    assert one.read_bytes() == two.read_bytes()
    write_parquet(table.to_pandas(), one)
    write_parquet(table.to_pandas().set_axis(range(5, 1005)), two)
    assert one.read_bytes() == two.read_bytes()


def test_an_index_is_stored_if_it_is_data(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "when": pd.date_range("2021", periods=2)}).set_index("when")
    write_parquet(frame, tmp_path / "x")
    assert pq.read_table(tmp_path / "x").column_names == ["when", "a"]
    assert digest(pd.read_parquet(tmp_path / "x")) == digest(frame)


def test_arrays_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert write_parquet(np.arange(6).reshape(3, 2), path) == ".parquet"
    assert pq.read_table(path).to_pydict() == {"0": [0, 2, 4], "1": [1, 3, 5]}
    assert write_parquet(np.array(["a", "b"]), path) == ".parquet"
    assert pq.read_table(path).to_pydict() == {"0": ["a", "b"]}
    for array in (
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(3000).reshape(1, 3000),
        np.array([1 + 2j]),
        np.array(5, ">i4"),
        np.zeros((0, 4)),
    ):
        assert write_parquet(array, path) == ".npy"
        assert digest(np.load(path)) == digest(array)
    matrix = sparse.random(9, 9, density=0.3, format="csc", random_state=0)
    assert write_parquet(matrix, path) == ".npz"
    stored = path.read_bytes()
    assert digest(sparse.load_npz(path)) == digest(matrix)
    write_parquet(matrix.tocoo(), path)
    assert path.read_bytes() == stored


def test_what_cannot_be_stored_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(Invalid, match="'m'"):
        write_parquet(pd.DataFrame({"m": [1, "x"]}), path)
    assert not path.exists()
    with pytest.raises(WriteFailed):
        write_parquet(pa.table({"a": [1]}), tmp_path / "nowhere" / "x")


# Only what is there


def run(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_importing_it_loads_no_library() -> None:
    script = "import sys, mlgit.data.content, mlgit.data.profiles; print(*sys.modules)"
    loaded = set(run(script)[0].split())
    assert not loaded & {"numpy", "pandas", "polars", "pyarrow", "scipy"}


WITHOUT_PYARROW = """
import sys
if {hide}: sys.modules["pyarrow"] = None
import datetime, decimal, numpy as np, pandas as pd
from mlgit.data.content import describe, write_parquet
frame = pd.DataFrame({{
    "i": [1, 2, 3], "f": [0.5, np.nan, 1], "b": [True, False, True],
    "s": ["a", None, "é"], "e": pd.Series([None] * 3, dtype="str"),
    "o": pd.Series([b"x", None, b"yz"], dtype=object), "I": pd.array([1, None, 3], "Int16"),
    "t": pd.to_datetime(["2021-01-01T01:02:03.000004", None, "1969-01-01T00:00:00.0"]),
    "z": pd.to_datetime(["2021-01-01", None, "1969-01-01"]).tz_localize("Europe/Berlin"),
    "c": pd.Categorical(["p", None, "q"]), "n": pd.Categorical([5, None, 7]),
    "d": [datetime.date(2021, 1, 1), None, datetime.date(1, 1, 1)],
    "D": [decimal.Decimal("1.10"), None, decimal.Decimal(3)], "m": [1, "x", None],
}}, index=pd.Index(["k", "l", "m"], name="key"))
for name in frame: print(name, *describe(frame[name])[:1], *describe(frame[name]).columns)
print(describe(frame).digest, describe(np.array(["a", "é"])).digest)
try: write_parquet(frame[["i"]], __import__("pathlib").Path({path!r}))
except Exception as error: print(type(error).__name__, error)
"""


def test_the_digest_needs_no_pyarrow(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    *with_it, stored = run(WITHOUT_PYARROW.format(hide=False, path=path))
    *without, refused, hint, _ = run(WITHOUT_PYARROW.format(hide=True, path=path))
    assert without == with_it
    assert stored == ""
    assert refused == "MlgitError pyarrow is not installed"
    assert hint == "Hint: pip install mlgit[data]"


def test_polars_needs_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MlgitError) as caught:
        describe(pl.DataFrame({"a": [1]}))
    assert caught.value.hint == "pip install mlgit[data]"
