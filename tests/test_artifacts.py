"""Artifacts: what becomes of texts, tables, pictures and files, and what is refused."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import git

import mlgit
from mlgit import Invalid, MlgitWarning, NotFound, Unreadable, names
from mlgit.tracking import artifacts

LIMIT = 64 * 1024
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(repo: Path) -> Iterator[mlgit.ActiveRun]:
    with mlgit.start_run(capture=()) as run:
        yield run


def saved(run: mlgit.ActiveRun) -> mlgit.SavedRun:
    if run.status == "running":
        run.end()
    return mlgit.get_run(run.id)


def stored(run: mlgit.ActiveRun, path: str) -> bytes:
    return saved(run).read(path)


def rows(run: mlgit.ActiveRun, path: str) -> list[str]:
    return stored(run, path).decode().splitlines()


# --- texts and JSON ------------------------------------------------------------------


def test_texts(run: mlgit.ActiveRun) -> None:
    run.log_text("ärger 🎉\r\n\x00", "a.txt")
    run.log_text("a lone \ud800", "deep/er/b.txt")
    run.log_text("", "empty")
    found = saved(run)
    assert found.artifacts() == ["a.txt", "deep/er/b.txt", "empty"]
    assert found.read("a.txt").decode() == "ärger 🎉\r\n\x00"
    assert (found.read("deep/er/b.txt"), found.read("empty")) == (b"a lone ?", b"")
    assert git("show", f"mlgit:{names.artifact_file(run.id, 'deep/er/b.txt')}") == "a lone ?"
    (pointer, *_) = found.record.outputs
    assert (pointer.kind, pointer.size, pointer.stored) == ("text", 14, "git")
    with pytest.raises(Invalid, match="log_text takes a string, not a bytes"):
        artifacts.from_text(b"bytes")  # type: ignore[arg-type]


def test_json(run: mlgit.ActiveRun) -> None:
    value = {"b": [1, math.nan, -math.inf], "a": {"ü": None}, 1: (True,)}
    run.log_dict(value, "a.json")
    arrays = {"scalar": numpy.float32(0.5), "array": numpy.array([[1, 2]]), "n": numpy.float64(1)}
    run.log_dict([arrays, numpy.int64(3), numpy.array([math.nan])], "b.json")
    text = stored(run, "a.json").decode()
    assert text.endswith("}\n") and '"ü"' in text and text.index('"b"') < text.index('"a"')
    again = json.loads(text)
    assert math.isnan(again["b"][1]) and again["1"] == [True] and again["b"][2] == -math.inf
    plain, three, (nan,) = json.loads(stored(run, "b.json"))
    assert plain == {"scalar": 0.5, "array": [[1, 2]], "n": 1.0} and three == 3
    assert math.isnan(nan)


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("value", [{1j: 1}, {"a": {1}}, object, CIRCLE, "\ud800", b"x"], ids=ascii)
def test_what_is_not_json(run: mlgit.ActiveRun, value: Any) -> None:
    with pytest.raises(Invalid, match="this cannot be written as JSON"):
        run.log_dict(value, "a.json")
    assert saved(run).artifacts() == []


# --- figures and images --------------------------------------------------------------


class Figure:
    """As far as matplotlib's is known here."""

    def savefig(self, file: Any, format: str, bbox_inches: str) -> None:
        if format not in ("png", "svg", "pdf"):
            raise ValueError(f"Format {format!r} is not supported")
        file.write(f"drawn as {format}, {bbox_inches}".encode())


class Chart:
    """Plotly's and Altair's."""

    def to_html(self) -> str:
        return "<html>"

    def to_json(self) -> str:
        return "{}"


def test_figures(run: mlgit.ActiveRun) -> None:
    for path in ("a.PNG", "b.svg", "plain"):
        run.log_figure(Figure(), path)
    run.log_figure(Chart(), "c.html")
    run.log_figure(Chart(), "c.json")
    found = saved(run)
    assert [found.read(path) for path in found.artifacts()] == [
        *(b"drawn as png, tight", b"drawn as svg, tight", b"drawn as png, tight"),
        *(b"<html>", b"{}"),
    ]
    assert {pointer.kind for pointer in found.record.outputs} == {"figure"}


class AltairChart:
    """As far as Altair's is known here."""

    def __init__(self, **spec: Any) -> None:
        self.spec = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec}

    def to_dict(self) -> dict[str, Any]:
        return self.spec


def test_charts(run: mlgit.ActiveRun) -> None:
    chart = AltairChart(mark="bar", data={"values": [{"größe": 1.5}]})
    run.log_chart(chart)
    run.log_chart(chart.spec, "plots/sizes")
    mlgit.log_chart(chart, "named.vl.json")
    found = saved(run)
    assert found.artifacts() == ["chart.vl.json", "plots/sizes.vl.json", "named.vl.json"]
    assert {json.dumps(json.loads(found.read(path))) for path in found.artifacts()} == {
        json.dumps(chart.spec)
    }
    assert {pointer.kind for pointer in found.record.outputs} == {"chart"}


def test_a_chart_of_altair(run: mlgit.ActiveRun) -> None:
    altair = pytest.importorskip("altair", reason="pip install altair")
    chart = altair.Chart(altair.InlineData([{"a": 1}])).mark_bar().encode(x="a:Q")
    run.log_chart(chart, "bars")
    assert json.loads(stored(run, "bars.vl.json")) == chart.to_dict()


@pytest.mark.parametrize(
    ("chart", "reason"),
    [
        (None, "a NoneType is no Altair chart"),
        ("bar", "a str is no Altair chart"),
        ({"mark": "bar"}, "a dict is no Altair chart"),
        (Figure(), "a Figure is no Altair chart"),
        (AltairChart(data=object()), "cannot be written as JSON"),
        (AltairChart(data=float("nan")), "cannot be written as JSON"),
    ],
)
def test_what_is_no_chart(run: mlgit.ActiveRun, chart: Any, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        run.log_chart(chart)
    assert saved(run).artifacts() == []


@pytest.mark.parametrize(
    ("figure", "path"),
    [(Figure(), "a.xyz"), (Chart(), "a.png"), (Chart(), "a"), (None, "a.png"), ("text", "a.html")],
)
def test_what_cannot_be_drawn(run: mlgit.ActiveRun, figure: Any, path: str) -> None:
    with pytest.raises(Invalid, match=f"cannot be written as {path}"):
        run.log_figure(figure, path)
    assert saved(run).artifacts() == []


def test_a_figure_of_matplotlib(run: mlgit.ActiveRun) -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="pip install matplotlib").Figure()
    figure.subplots().plot([1, 3, 2])
    run.log_figure(figure, "a.png")
    run.log_figure(figure, "a.svg")
    with pytest.raises(Invalid, match=r"cannot be written as a\.xyz"):
        run.log_figure(figure, "a.xyz")
    assert stored(run, "a.png").startswith(PNG) and b"<svg" in stored(run, "a.svg")


class Image:
    """Pillow's."""

    def save(self, file: Any, format: str) -> None:
        if format == "xyz":
            raise KeyError(format)
        file.write(f"saved as {format}".encode())


def test_images(run: mlgit.ActiveRun) -> None:
    run.log_image(PNG, "a.png")
    run.log_image(bytearray(PNG), "b.png")
    for path in ("c.JPG", "d.webp", "e"):
        run.log_image(Image(), path)
    with pytest.raises(Invalid, match=r"cannot be written as f\.xyz"):
        run.log_image(Image(), "f.xyz")
    found = saved(run)
    assert [found.read(path) for path in found.artifacts()] == [
        *(PNG, PNG, b"saved as jpeg", b"saved as webp", b"saved as png"),
    ]


ARRAYS: dict[str, tuple[Any, Any]] = {
    "bytes": (numpy.full((2, 3), 200, "uint8"), 200),
    "floats": (numpy.full((2, 3), 0.5), 128),
    "floats out of range": (numpy.full((2, 3), 7.0), 255),
    "not numbers": (numpy.full((2, 3), math.nan), 0),
    "one channel": (numpy.full((2, 3, 1), 9), 9),
    "integers out of range": (numpy.full((2, 3), -5), 0),
    "bools": (numpy.ones((2, 3), bool), 255),
    "colour": (numpy.full((2, 3, 3), 7, "uint8"), (7, 7, 7)),
    "with alpha": (numpy.full((2, 3, 4), 1.0), (255, 255, 255, 255)),
    "a list": ([[5, 5, 5], [5, 5, 5]], 5),
}


def test_arrays_as_images(run: mlgit.ActiveRun) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="pip install pillow")
    for name, (array, _) in ARRAYS.items():
        run.log_image(array, f"{name}.png")
    for array in (numpy.zeros(3), numpy.zeros((2, 2, 2)), numpy.zeros((1, 2, 3, 4)), [["a"]], "a"):
        with pytest.raises(Invalid, match="is not an image"):
            run.log_image(array, "a.png")
    with pytest.raises(Invalid, match=r"cannot be written as a\.jpg"):
        run.log_image(ARRAYS["with alpha"][0], "a.jpg")
    for name, (_, pixel) in ARRAYS.items():
        with pillow.open(io.BytesIO(stored(run, f"{name}.png"))) as image:
            assert image.size == (3, 2) and image.getpixel((1, 1)) == pixel, name


def test_an_array_without_pillow(run: mlgit.ActiveRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(Invalid, match="needs numpy and Pillow"):
        run.log_image(numpy.zeros((2, 2)), "a.png")


# --- tables --------------------------------------------------------------------------


def test_tables(run: mlgit.ActiveRun) -> None:
    run.log_table([{"a": 1, "b": "x,y"}, {"b": None, "c": 0.1}], "dicts.csv")
    columns = {"n": numpy.arange(2), "x": (0.5, math.nan), "text": ["ü", 'say "hi"']}
    run.log_table(columns, "columns.csv")
    run.log_table(columns, "columns.json")
    run.log_table([], "empty.csv")
    assert rows(run, "dicts.csv") == ["a,b,c", '1,"x,y",', ",,0.1"]
    assert rows(run, "columns.csv") == ["n,x,text", "0,0.5,ü", '1,nan,"say ""hi"""']
    first, second = json.loads(stored(run, "columns.json"))
    assert first == {"n": 0, "x": 0.5, "text": "ü"} and math.isnan(second["x"])
    assert rows(run, "empty.csv") == [""]


class Frame:
    """A data frame of pandas, and of polars."""

    def to_csv(self, index: bool) -> str:
        return f"a\n{index}\n"

    def to_dict(self, orient: str) -> list[dict[str, str]]:
        return [{"a": orient}]


def test_frames(run: mlgit.ActiveRun) -> None:
    run.log_table(Frame(), "a.csv")
    run.log_table(Frame(), "a.json")
    assert stored(run, "a.csv") == b"a\nFalse\n"
    assert json.loads(stored(run, "a.json")) == [{"a": "records"}]


def test_a_frame_of_pandas(run: mlgit.ActiveRun) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": [0.5, None]})
    run.log_table(frame, "a.csv")
    run.log_table(frame, "a.json")
    assert rows(run, "a.csv") == ["a,b", "1,0.5", "2,"]
    assert json.loads(stored(run, "a.json"))[0] == {"a": 1, "b": 0.5}


@pytest.mark.parametrize(
    "table", [5, "text", None, [1, 2], {"a": 1}, {"a": "text"}, {"a": [1], "b": [1, 2]}], ids=repr
)
def test_what_is_not_a_table(run: mlgit.ActiveRun, table: Any) -> None:
    for path in ("a.csv", "a.json"):
        with pytest.raises(Invalid, match="table"):
            run.log_table(table, path)
    assert saved(run).artifacts() == []


# --- files ---------------------------------------------------------------------------


def test_files(run: mlgit.ActiveRun, repo: Path) -> None:
    content = os.urandom(LIMIT)
    (repo / "model.bin").write_bytes(content)
    run.log_artifact("model.bin")
    run.log_artifact(repo / "model.bin", "models/best.bin")
    (repo / "model.bin").write_bytes(b"changed afterwards")
    found = saved(run)
    assert found.artifacts() == ["model.bin", "models/best.bin"]
    assert found.read("model.bin") == found.read("models/best.bin") == content
    assert {pointer.size for pointer in found.record.outputs} == {LIMIT}


def kept(found: mlgit.SavedRun) -> dict[str, str | None]:
    return {pointer.path: pointer.stored for pointer in found.record.outputs}


def test_small_texts_and_images_lie_on_the_branch_all_else_in_the_data_store(
    run: mlgit.ActiveRun, repo: Path
) -> None:
    for name, content in {
        "small.csv": b"a,b\n",
        "empty": b"",
        "large.csv": b"x" * (LIMIT + 1),
        "weights.bin": b"\x00\x01",
        "latin.txt": b"\xe9t\xe9",
        "plot.png": PNG,
    }.items():
        (repo / name).write_bytes(content)
        run.log_artifact(name)
    run.log_text("x" * (LIMIT + 1), "long.txt")
    run.log_text("\0", "nul.txt")
    run.log_image(PNG + bytes(LIMIT), "large.png")
    run.log_dict(["x" * LIMIT], "long.json")
    found = saved(run)
    on_branch = ["small.csv", "empty", "plot.png", "nul.txt"]
    assert [path for path, stored in kept(found).items() if stored == "git"] == on_branch
    assert {*kept(found).values()} == {"git", "dvc"}
    assert found.read("large.csv") == b"x" * (LIMIT + 1)
    assert found.read("weights.bin") == b"\x00\x01" and found.read("empty") == b""
    tree = git("ls-tree", "-r", "--name-only", "mlgit").splitlines()
    assert [path for path in tree if "/files/" in path] == sorted(
        names.artifact_file(run.id, path) for path in on_branch
    )


def test_a_folder_is_one_artifact_and_its_files_can_be_read(
    run: mlgit.ActiveRun, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "out/deep").mkdir(parents=True)
    (repo / "out/a.txt").write_text("a")
    (repo / "out/deep/b.bin").write_bytes(b"\0b")
    run.log_artifact("out/")
    run.log_artifacts(["train.py", repo / "out"], "copies")
    run.log_artifacts("out", "again")
    found = saved(run)
    assert found.artifacts() == ["out", "copies/train.py", "copies/out", "again"]
    first, _, second, third = found.record.outputs
    assert first.md5 == second.md5 == third.md5
    assert (first.kind, first.files, first.size, first.stored) == ("folder", 2, 3, "dvc")
    assert found.read("out/deep/b.bin") == b"\0b"
    with pytest.raises(NotFound, match="is a folder"):
        found.read("out")
    with pytest.raises(NotFound, match="the artifact out has no file 'c'"):
        found.read("out/c")
    with pytest.raises(NotFound, match="has no artifact 'ou'"):
        found.read("ou")
    assert found.download("out", repo / "copy") == repo / "copy"
    assert (repo / "copy/deep/b.bin").read_bytes() == b"\0b"
    found.download("out", repo / "copy")  # it is there
    (repo / "copy/a.txt").write_text("mine")
    with pytest.raises(Invalid, match="is there already"):
        found.download("out", repo / "copy")
    (repo / "elsewhere").mkdir()
    monkeypatch.chdir(repo / "elsewhere")
    assert found.download("out/deep/b.bin") == Path("b.bin")
    assert (repo / "elsewhere/b.bin").read_bytes() == b"\0b"
    found.download("out/a.txt", repo / "one/a.txt")
    assert (repo / "one/a.txt").read_text() == "a"
    found.download("copies/train.py", repo / "one/train.py")
    assert (repo / "one/train.py").read_text() == (repo / "train.py").read_text()


def test_a_model_is_a_file_or_folder_in_the_data_store(run: mlgit.ActiveRun, repo: Path) -> None:
    (repo / "m").mkdir()
    (repo / "m/weights.txt").write_text("0.5")
    run.log_model(repo / "m")
    run.log_model("m/weights.txt", "small")
    with pytest.raises(Invalid, match=r"log_model takes the file or folder .*not a dict"):
        run.log_model({})  # type: ignore[arg-type]
    found = saved(run)
    assert kept(found) == {"model": "dvc", "small": "dvc"}
    assert {pointer.kind for pointer in found.record.outputs} == {"model"}
    assert found.read("model/weights.txt") == found.read("small") == b"0.5"


def test_files_that_cannot_be_kept(run: mlgit.ActiveRun, repo: Path) -> None:
    os.mkfifo(repo / "pipe")
    (repo / "loop").symlink_to("loop")
    for file, reason in {
        "nowhere.txt": "No such file or directory",
        "README.md/x": "Not a directory",
        "pipe": "is not a plain file",
        "loop": "Too many levels of symbolic links",
        "nul\0": "null (byte|character)",
        "x" * 300: "File name too long",
    }.items():
        for log in (run.log_artifact, run.log_model):
            with pytest.raises(Invalid, match=reason):
                log(file, "a.bin")
    assert not (repo / ".git/mlgit/live" / f"{run.id}.files").exists()
    assert saved(run).artifacts() == []


def test_an_altered_object_is_not_handed_out(run: mlgit.ActiveRun, repo: Path) -> None:
    (repo / "m.bin").write_bytes(b"\0model")
    run.log_model("m.bin")
    found = saved(run)
    (lying,) = (repo / ".git/mlgit/data/files").rglob("*/??????????????????????????????")
    lying.chmod(0o644)
    lying.write_bytes(b"\0other")
    with pytest.raises(Unreadable, match="was altered"):
        found.read("model")
    with pytest.raises(Unreadable, match="was altered"):
        found.download("model", repo / "copy")
    assert not (repo / "copy").exists()
    lying.unlink()
    with pytest.raises(NotFound, match="is not on this machine, and there is no data remote"):
        found.read("model")


PATHS = ["../a", "/etc/passwd", "a/../../b", "..", ".", "a//b", "", ".git/hooks/x", "a\\b", "a\nb"]


@pytest.mark.parametrize("path", PATHS)
def test_paths_stay_in_their_folder(run: mlgit.ActiveRun, repo: Path, path: str) -> None:
    for log in (
        lambda: run.log_artifact("README.md", path),
        lambda: run.log_text("x", path),
        lambda: run.log_figure(None, path),  # the path is looked at first
        lambda: run.log_chart(None, path),
    ):
        with pytest.raises(Invalid, match="artifact path"):
            log()
    assert saved(run).artifacts() == []


def test_the_last_one_at_a_path_counts(run: mlgit.ActiveRun) -> None:
    run.log_text("first", "a.txt")
    run.log_dict({"second": 2}, "a.txt")
    found = saved(run)
    assert found.artifacts() == ["a.txt"]
    assert json.loads(found.read("a.txt")) == {"second": 2}
    assert found.record.outputs[0].kind == "json"


def test_a_path_is_a_file_or_a_folder(run: mlgit.ActiveRun) -> None:
    run.log_text("", "a/b")
    run.log_text("", "ab")
    for path, other in {"a": "a/b", "a/b/c": "a/b", "ab/c/d": "ab"}.items():
        with pytest.raises(Invalid, match=f"a file and a folder, because of {other}"):
            run.log_text("", path)
    assert saved(run).artifacts() == ["a/b", "ab"]


def test_a_lost_file_does_not_keep_the_run_from_being_saved(
    run: mlgit.ActiveRun, repo: Path
) -> None:
    for name in "abc":
        run.log_text(name, name)
    first, second, _ = sorted((repo / ".git/mlgit/live").glob("*.files/*"))
    lost = {first.read_text(), second.read_text()}
    first.unlink()
    second.write_text("other bytes")
    with pytest.warns(MlgitWarning, match="is lost") as told:
        run.end()
    assert len(told) == 2
    assert {*saved(run).artifacts()} == {*"abc"} - lost
