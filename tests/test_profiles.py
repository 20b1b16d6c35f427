"""What a dataset looks like: right where it is complete, honest where not, never a crash."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import os
import sys
import time
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

from mlgit.data import formats, summary
from mlgit.data.profiles import Difference, profile_file, profile_table, schema_difference
from mlgit.errors import Invalid, Unreadable
from mlgit.records.canonical import canonical, unpack_number

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TAXI, WINE = DATA / "nyc-taxi", DATA / "wine-quality"
MANY = 60.0  # seconds; so that a busy machine changes no result


def column(profile: dict[str, Any] | None, name: str) -> dict[str, Any]:
    assert profile is not None
    (found,) = (column for column in profile["columns"] if column["name"] == name)
    return found


def of(*values: Any, type: Any = None) -> dict[str, Any]:
    """The profile of one column with these values."""
    found = profile_table(pa.table({"x": pa.array(values, type)}), seconds=MANY)
    assert found
    canonical(found)  # plain JSON, finite
    return column(found, "x")


# What is said of a column


def test_numbers() -> None:
    found = of(4, None, 1, 1)
    assert found.pop("histogram") == {"edges": [0.5, 1.5, 2.5, 3.5, 4.5], "counts": [2, 0, 0, 1]}
    assert found == {
        **{"name": "x", "type": "int64", "nulls": 1, "distinct": 2, "min": 1, "max": 4},
        **{"mean": 2.0, "std": pytest.approx(3**0.5)},
    }


def test_a_nan_is_a_null_and_an_infinity_is_counted_apart() -> None:
    found = of(math.nan, None, math.inf, -math.inf, 1.0, 3.0)
    assert (found["nulls"], found["infinite"], found["mean"]) == (2, 2, 2.0)
    assert (found["min"], found["max"]) == ("-Infinity", "Infinity")
    assert sum(found["histogram"]["counts"]) == 2
    assert found["distinct"] == 4


def test_numbers_at_the_end_of_what_a_double_can_hold() -> None:
    found = of(-1.7e308, 1.7e308, 1.7e308)
    assert "histogram" not in found and found["std"] in ("Infinity", "NaN")
    assert of(2**63 - 1, -(2**63))["max"] == "9223372036854775807"
    assert of(2**64 - 1, type=pa.uint64())["min"] == "18446744073709551615"
    assert of(1.5, 1.5) == {
        **{"name": "x", "type": "float64", "nulls": 0, "distinct": 1, "min": 1.5, "max": 1.5},
        **{"mean": 1.5, "std": 0.0},
    }
    assert of(None, math.nan)["nulls"] == 2
    assert "min" not in of(None, math.nan)
    assert of(None) == {"name": "x", "type": "null", "nulls": 1}


def test_outliers_do_not_flatten_a_histogram() -> None:
    found = of(*[i / 100 for i in range(1000)], 250_000.0)["histogram"]
    assert found["edges"][0] == 0 and found["edges"][-1] == 250_000
    assert max(found["counts"]) < 100
    assert sum(found["counts"]) == 1001


def test_text() -> None:
    found = of("b", "a", "b", None, *["x" * 200] * 3)
    top = [["x" * 100, 3], ["b", 2], ["a", 1]]
    assert found == {"name": "x", "type": "string", "nulls": 1, "distinct": 3, "top": top}
    assert of("a", "a", "b", "b")["top"] == [["a", 2], ["b", 2]]


def test_names_and_addresses_are_not_shown() -> None:
    assert of(*[f"{i}@example.org" for i in range(40)]) == {
        **{"name": "x", "type": "string", "nulls": 0, "distinct": 40}
    }
    assert "top" not in of(*[f"{i}" for i in range(51)] * 9)
    assert "distinct" not in of(*map(str, range(10_001)))


def test_times() -> None:
    found = of(datetime.datetime(2021, 1, 1), datetime.datetime(2021, 1, 3, 0, 0, 0, 5))
    assert (found["min"], found["max"]) == (
        "2021-01-01T00:00:00.000000",
        "2021-01-03T00:00:00.000005",
    )
    assert found["mean"][:13] == "2021-01-02T00"
    assert found["std"] == pytest.approx(2**0.5 * 86400)
    edges = found["histogram"]["edges"]
    assert len(edges) == 21 and edges[10].startswith("2021-01-02T00:00:00")
    utc = datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc)
    assert of(utc)["min"] == "2021-01-01T00:00:00.000000Z"
    assert of(utc, type=pa.timestamp("ns", "Europe/Berlin"))["min"] == "2021-01-01T00:00:00.000000Z"
    assert of(datetime.date(2021, 1, 1), datetime.date(2021, 3, 1))["max"] == "2021-03-01"
    assert of(2**62, 2, type=pa.timestamp("s"))["max"].startswith("146138514283-")
    assert of(1500, None, type=pa.duration("ms"))["max"] == 1.5
    assert of(datetime.time(0, 1), None)["max"] == 60.0
    assert len(set(of(1, 2, 3, type=pa.timestamp("us"))["histogram"]["edges"])) == 3


def test_other_types() -> None:
    assert of(True, False, True, None)["top"] == [[True, 2], [False, 1]]
    assert of(decimal.Decimal("1.5"), decimal.Decimal("2.5"))["mean"] == 2.0
    assert of([1], [2]) == {"name": "x", "type": "list<int64>", "nulls": 0}
    assert of(b"a")["type"] == "binary"
    codes = pa.chunked_array([pa.array(["a", "b"] * 2).dictionary_encode(),
                              pa.array(["c", "b"] * 2).dictionary_encode()])  # fmt: skip
    assert column(profile_table(pa.table({"x": codes})), "x")["top"] == [
        ["b", 4],
        ["a", 2],
        ["c", 2],
    ]
    assert of(np.float16(1), np.float16(1), None, type=pa.float16())["mean"] == 1.0


@settings(max_examples=200)
@given(st.lists(st.floats() | st.none(), max_size=60) | st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_a_profile_agrees_with_the_values(values: list[Any]) -> None:
    found = of(*values, type=None if values else pa.float64())
    known = [value for value in values if value is not None and value == value]
    finite = [value for value in known if math.isfinite(value)]
    assert found["nulls"] == len(values) - len(known)
    if known:
        assert found["distinct"] == len(set(known))
        assert unpack_number(found["min"]) == min(known)
        assert unpack_number(found["max"]) == max(known)
    if "histogram" in found:
        edges = [unpack_number(edge) for edge in found["histogram"]["edges"]]
        counts = found["histogram"]["counts"]
        assert edges == sorted(set(edges)) and len(counts) == len(edges) - 1 <= summary.BINS
        assert sum(counts) == len(finite)
        assert edges[0] <= min(finite) and max(finite) <= edges[-1]


@given(st.sampled_from([2**53, 2**62, -(2**63), 2**63 - 5000]), st.data())
def test_integers_that_no_double_holds_are_counted_exactly(base: int, data: st.DataObject) -> None:
    near = st.integers(0, data.draw(st.sampled_from([3, 30, 4000])))
    values = [base + more for more in data.draw(st.lists(near, min_size=2, max_size=20))]
    found = of(*values, type=pa.int64())
    assert (unpack_number(found["min"]), unpack_number(found["max"])) == (min(values), max(values))
    if "histogram" in found:
        edges = [unpack_number(edge) for edge in found["histogram"]["edges"]]
        ends = list(zip(edges, [*edges[1:-1], edges[-1] + 1], strict=False))
        assert found["histogram"]["counts"] == [
            sum(low <= value < high for value in values) for low, high in ends
        ]


# Tables in memory


def test_whoever_holds_a_table_its_profile_is_the_same() -> None:
    table = pa.table({"a": [1, 2, None], "b": ["x", None, "x"], "c": [True, False, None]})
    expected = profile_table(table, seconds=MANY)
    assert expected and expected["complete"] and expected["rows"] == 3
    assert expected["engine"] == {"numpy": np.__version__, "pyarrow": pa.__version__}
    assert profile_table(pl.from_arrow(table), seconds=MANY) == expected
    assert profile_table(table.to_pandas(types_mapper=pd.ArrowDtype), seconds=MANY) == expected
    assert profile_table(pd.DataFrame({"m": [1, "x"]}))["columns"] == [
        {"name": "m", "type": "mixed"}
    ]


def test_arrays() -> None:
    found = profile_table(np.arange(6.0).reshape(3, 2), seconds=MANY)
    assert [found["rows"], *(column(found, name)["mean"] for name in "01")] == [3, 2.0, 3.0]
    assert profile_table(np.zeros((2, 2, 2))) is None
    assert profile_table(np.zeros(())) is None
    assert profile_table(sparse.eye(2)) is None
    for nothing in (5, pl.LazyFrame({"a": [1]})):
        with pytest.raises(Invalid):
            profile_table(nothing)


def test_a_large_table_is_read_in_part() -> None:
    table = pa.table({"a": np.arange(100_000), "b": np.arange(100_000.0)})
    found = profile_table(table, seconds=MANY, memory=2**20)
    assert found["rows"] == 100_000 and found["read"] == 2**19 // 32 and not found["complete"]
    assert column(found, "a")["max"] == found["read"] - 1
    frame = pd.DataFrame({"s": ["x" * 10_000] * 1000})
    assert profile_table(frame, seconds=MANY, memory=2**20)["read"] < 60


# Files


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_formats_agree(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "s": ["p", "p", None], "x": [0.5, None, 2.5]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    expected = profile_table(frame, seconds=MANY)
    for path in tmp_path.iterdir():
        assert profile_file(path, seconds=MANY) == expected, path.name


def test_other_files_have_no_profile(tmp_path: Path) -> None:
    assert profile_file(write(tmp_path / "model.pkl", b"\x80\x04")) is None
    assert profile_file(tmp_path / "nowhere.csv") is None
    assert profile_file(tmp_path) is None
    (tmp_path / "folder.csv").mkdir()
    assert profile_file(tmp_path / "folder.csv") is None
    os.mkfifo(tmp_path / "pipe.csv")
    assert profile_file(tmp_path / "pipe.csv") is None


def test_without_pyarrow_there_is_no_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert profile_file(write(tmp_path / "a.csv", "a\n1\n")) is None
    assert profile_table(pd.DataFrame({"a": [1]})) is None


def test_a_csv_with_quirks(tmp_path: Path) -> None:
    text = '\ufeffid,note\n1,"two\nlines, and a comma"\n2,\n3,extra,cell\n,ok\n'
    found = profile_file(write(tmp_path / "a.csv", text), seconds=MANY)
    assert (found["rows"], found["complete"]) == (3, False)
    assert found["notes"] == ["1 rows have another number of values and are left out"]
    assert column(found, "id")["nulls"] == 1 and column(found, "note")["nulls"] == 1
    latin = "name,n\nJos\xe9,1\nJos\xe9,2\nJos\xe9,2,\xe9\n".encode("latin-1")
    found = profile_file(write(tmp_path / "latin.csv", latin), seconds=MANY)
    assert column(found, "name")["top"] == [["José", 2]]
    header_only = profile_file(write(tmp_path / "b.csv", "a,b\n"), seconds=MANY)
    assert header_only["rows"] == 0 and len(header_only["columns"]) == 2


def test_a_csv_that_changes_its_mind(tmp_path: Path) -> None:
    text = "a\n" + "1\n" * 200_000 + "x\n"
    found = profile_file(write(tmp_path / "a.csv", text), seconds=MANY, memory=2**20)
    assert not found["complete"] and found["rows"] is None and 0 < found["read"] <= 200_000
    assert column(found, "a")["type"] == "int64"


def test_json_lines_with_quirks(tmp_path: Path) -> None:
    text = (
        '{"a": 1, "b": {"c": 1}}\n\n{"d": "x", "a": 2.5}\n{"a": null, "e": 1}\n{"e": "1", "f": [1]}'
    )
    found = profile_file(write(tmp_path / "a.jsonl", text), seconds=MANY)
    types = {c["name"]: c["type"] for c in found["columns"]}
    assert types == {"a": "float64", "b": "struct", "d": "string", "e": "mixed", "f": "list"}
    assert found["rows"] == 4 and column(found, "a")["nulls"] == 2
    cut = profile_file(write(tmp_path / "b.jsonl", text + '\n{"a": '), seconds=MANY)
    assert cut["read"] == 4 and cut["rows"] is None and cut["notes"]
    assert profile_file(write(tmp_path / "c.jsonl", "[1]\n")) is None


@pytest.mark.skipif(not TAXI.is_dir(), reason=f"the data is not here: {TAXI}")
def test_real_parquet() -> None:
    found = profile_file(TAXI / "green_tripdata_2021-01.parquet", seconds=MANY)
    frame = pd.read_parquet(TAXI / "green_tripdata_2021-01.parquet")
    assert found["rows"] == 76518 and found["complete"] and len(found["columns"]) == 20
    distance, flag = column(found, "trip_distance"), column(found, "store_and_fwd_flag")
    assert distance["max"] == frame["trip_distance"].max()
    assert distance["std"] == pytest.approx(frame["trip_distance"].std())
    assert max(distance["histogram"]["counts"]) < len(frame) / 3
    assert flag["top"] == [[v, n] for v, n in frame["store_and_fwd_flag"].value_counts().items()]
    assert column(found, "ehail_fee") == {"name": "ehail_fee", "type": "null", "nulls": 76518}
    assert column(found, "lpep_pickup_datetime")["min"].startswith("2009-01-01")
    assert profile_file(TAXI / "green_tripdata_2021-01.parquet", seconds=MANY) == found
    assert len(canonical(found)) < 2**16


@pytest.mark.skipif(not TAXI.is_dir(), reason=f"the data is not here: {TAXI}")
def test_real_parquet_within_a_small_budget() -> None:
    found = profile_file(TAXI / "green_tripdata_2021-01.parquet", seconds=MANY, memory=2**22)
    frame = pd.read_parquet(TAXI / "green_tripdata_2021-01.parquet")
    assert found["rows"] == 76518 and 0 < found["read"] < 20_000 and not found["complete"]
    assert column(found, "PULocationID")["max"] == frame["PULocationID"].max()  # from statistics
    assert column(found, "lpep_pickup_datetime")["max"] == "2021-01-31T23:46:45.000000"
    late = profile_file(TAXI / "green_tripdata_2021-01.parquet", seconds=0)
    assert late["notes"] == ["the time was up"] and len(late["columns"]) == 20
    assert column(late, "trip_distance")["type"] == "float64"


@pytest.mark.skipif(not WINE.is_dir(), reason=f"the data is not here: {WINE}")
def test_real_csv() -> None:
    found = profile_file(WINE / "winequality-red.csv", seconds=MANY)
    assert found["rows"] == 1599 and found["complete"]
    assert column(found, "quality")["histogram"]["counts"] == [10, 53, 681, 638, 199, 18]


# Hostile files: within about twice the budget, and no exception


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.arange(5000), "s": ["x"] * 5000}), path)
    good = path.read_bytes()
    assert profile_file(write(path, b"")) is None
    assert profile_file(write(path, b"PAR1")) is None
    assert profile_file(write(path, good[:-20])) is None
    assert profile_file(write(path, good[:4] + bytes(200) + good[204:])) is not None
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        profile_file(write(tmp_path / f"b{suffix}", bytes(range(256)) * 50))
        profile_file(write(tmp_path / f"b{suffix}", b""))


@settings(max_examples=150)
@given(st.data())
def test_a_parquet_file_with_changed_bytes_never_raises(data: st.DataObject) -> None:
    import tempfile

    sink = pa.BufferOutputStream()
    table = pa.table(
        {"a": [1, None, 3] * 50, "s": ["x", None, "yy"] * 50, "t": [[1], [], None] * 50}
    )
    pq.write_table(table, sink, row_group_size=60)
    damaged = bytearray(sink.getvalue().to_pybytes())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        found = profile_file(write(Path(folder, "a.parquet"), bytes(damaged)), seconds=0.2)
    assert found is None or json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_too_many_columns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"wide{suffix}"
    names = [f"column {i}" for i in range(20_000)]
    if suffix == ".parquet":
        pq.write_table(pa.table({name: [1, 2] for name in names}), path)
    elif suffix == ".csv":
        write(path, ",".join(names) + "\n" + ",".join("1" * 20_000) + "\n")
    else:
        write(path, json.dumps(dict.fromkeys(names, 1)) + "\n")
    found = profile_file(path, seconds=MANY)
    assert len(found["columns"]) == 2000 and not found["complete"]
    assert found["notes"] == ["2000 of 20000 columns are described"]
    assert column(found, "column 1999")["max"] in (1, 2)


def test_a_footer_that_would_take_too_long_is_not_read(tmp_path: Path) -> None:
    with mock.patch.object(formats, "_FOOTER", 100):
        pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
        assert profile_file(tmp_path / "a.parquet") is None


def test_deep_json_is_refused_in_peace(tmp_path: Path) -> None:
    deep = b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    found = profile_file(write(tmp_path / "a.jsonl", deep), seconds=MANY)
    assert found["read"] == 1 and not found["complete"]


def test_a_long_text_many_times_over_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    long = pa.DictionaryArray.from_arrays(np.zeros(300_000, "i4"), ["x" * 2**20])  # 300 GB
    pq.write_table(pa.table({"s": long, "n": np.zeros(300_000)}), path)
    assert path.stat().st_size < 2**21
    before = pa.total_allocated_bytes()
    found = profile_file(path, memory=2**26)
    assert found["rows"] == 300_000 and column(found, "s")["type"] == "string"
    assert column(found, "n")["distinct"] == 1
    assert pa.total_allocated_bytes() - before < 2**20
    assert pa.default_memory_pool().max_memory() < 2**31


def test_text_in_a_delta_encoding_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"s": ["x" * 1000] * 1000, "n": np.arange(1000)})
    pq.write_table(table, path, use_dictionary=False, column_encoding={"s": "DELTA_BYTE_ARRAY"})
    found = profile_file(path, seconds=MANY)
    assert found["notes"] == ["the column 's' is not read"]
    assert column(found, "s") == {"name": "s", "type": "string", "nulls": 0}
    assert column(found, "n")["max"] == 999


def test_a_chunk_larger_than_the_budget_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"s": ["x" * 4000 + str(i) for i in range(1000)], "n": np.arange(1000)})
    pq.write_table(table, path, use_dictionary=False, compression="zstd")
    found = profile_file(path, seconds=MANY, memory=2**21)
    assert found["notes"] == ["the column 's' is not read"]
    assert column(found, "n")["max"] == 999


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_the_time_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"long{suffix}"
    if suffix == ".parquet":
        columns = {f"c{i}": np.random.default_rng(i).normal(size=400_000) for i in range(20)}
        pq.write_table(pa.table(columns), path, use_dictionary=False)
    else:
        row = ",".join("0.25" for _ in range(40)) if suffix == ".csv" else '{"a": 1, "b": "x"}'
        head = ",".join(f"c{i}" for i in range(40)) + "\n" if suffix == ".csv" else ""
        write(path, head + (row + "\n") * 300_000)
    profile_file(path, seconds=0.2)  # what is imported is not what is measured
    started = time.process_time()
    found = profile_file(path, seconds=0.2, memory=2**28)
    assert found is not None and not found["complete"]
    assert time.process_time() - started < 2.0  # of both processors, on a slow machine


# Differences


def test_differences() -> None:
    a = profile_table(pa.table({
        "same": [1, 2, 3], "gone": ["x", "y", "z"], "kind": [1, 2, 3],
        "holes": [1.0, 1.0, None], "range": [0.0, 5.0, 10.0],
        "mean": [0.0, 0.0, 10.0], "when": pa.array([0, 1, 2], pa.timestamp("s")),
    }))  # fmt: skip
    b = profile_table(pa.table({
        "same": [1, 2, 3], "kind": [1.0, 2.0, 3.0], "new": [True, True, False],
        "holes": [None, 1.0, None], "range": [0.0, 5.2, 11.0],
        "mean": [0.0, 10.0, 10.0], "when": pa.array([0, 1, 900], pa.timestamp("s")),
    }))  # fmt: skip
    found = schema_difference(a, b)
    assert [(one.column, one.kind) for one in found] == [
        *[("kind", "type"), ("new", "added"), ("holes", "nulls"), ("range", "range")],
        *[("mean", "mean"), ("when", "range"), ("when", "mean"), ("gone", "removed")],
    ]
    assert [str(one) for one in found[:5]] == [
        "'kind': type int64 → float64",
        "'new' (bool) was added",
        "'holes': nulls 33.3% → 66.7%",
        "'range': range 0.0 to 10.0 → 0.0 to 11.0",
        "'mean': mean 3.33333333333 → 6.66666666667",
    ]
    assert schema_difference(a, a) == schema_difference(b, b) == []


@pytest.mark.skipif(not TAXI.is_dir(), reason=f"the data is not here: {TAXI}")
def test_real_schema_drift() -> None:
    months = [profile_file(TAXI / f"green_tripdata_2023-0{i}.parquet", MANY) for i in (1, 2)]
    types = {one.column: one[2:] for one in schema_difference(*months) if one.kind == "type"}
    assert types["ehail_fee"] == ("null", "float64")
    assert types["VendorID"] == ("int64", "int32")
    assert types["passenger_count"] == ("float64", "int64")
    assert "store_and_fwd_flag" not in types  # large_string is a string


@pytest.mark.skipif(not WINE.is_dir(), reason=f"the data is not here: {WINE}")
def test_real_drift() -> None:
    wines = [profile_file(WINE / f"winequality-{kind}.csv", MANY) for kind in ("red", "white")]
    moved = {one.column for one in schema_difference(*wines) if one.kind == "mean"}
    assert {"total sulfur dioxide", "chlorides", "volatile acidity"} <= moved
    assert "alcohol" not in moved


KEYS = st.sampled_from(["columns", "name", "rows", "read", "nulls", "min", "max", "mean", "std"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, JSON), st.dictionaries(KEYS, JSON), st.data())
def test_anybodys_profile_never_crashes(a: Any, b: Any, data: st.DataObject) -> None:
    entry = st.dictionaries(KEYS, JSON).map(lambda found: {**found, "name": "x"})
    for profile in (a, b):
        if data.draw(st.booleans()):
            profile["columns"] = data.draw(st.lists(entry, max_size=2))
    try:
        for one in schema_difference(a, b):
            assert isinstance(one, Difference) and str(one)
    except Unreadable:
        pass
