"""The tail of what was printed, and streams that cannot tell they are heard."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.tracking.console import ConsoleTail


class Streams:
    """Stands as sys.stdout and sys.stderr from now to the end of the test.

    Not a fixture: pytest puts its own streams there again between the setup and the call.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n", write_through=True)
        self.err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n", write_through=True)
        monkeypatch.setattr(sys, "stdout", self.out)
        monkeypatch.setattr(sys, "stderr", self.err)

    def written(self) -> str:
        return self.out.buffer.getvalue().decode()


@contextlib.contextmanager
def listening(limit: int = 32768) -> Iterator[ConsoleTail]:
    tail = ConsoleTail(limit)
    tail.start()
    yield tail
    tail.stop()


def kept(*texts: str, limit: int = 32768) -> str:
    tail = ConsoleTail(limit)
    for text in texts:
        tail._keep(text)
    return tail.text()


def test_keeps_both_streams_in_order_and_passes_all_on(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    with listening() as tail:
        print("one", 1)
        print("two", file=sys.stderr)
        assert sys.stdout.write("three\n") == 6
        sys.stdout.writelines(["four", "\n"])
    print("after")
    assert tail.text() == "one 1\ntwo\nthree\nfour\n"
    assert streams.written() == "one 1\nthree\nfour\nafter\n"


def test_works_under_pytests_own_capture(capsys: pytest.CaptureFixture[str]) -> None:
    with listening() as tail:
        print("heard")
    assert capsys.readouterr().out == "heard\n"
    assert tail.text() == "heard\n"


def test_streams_stay_the_objects_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    before = dict(vars(sys.stdout))
    with listening():
        assert sys.stdout is streams.out
        assert isinstance(sys.stdout, io.TextIOWrapper)
        assert (sys.stdout.encoding, sys.stdout.isatty()) == ("utf-8", False)
        sys.stdout.reconfigure(errors="replace")
        sys.stdout.buffer.write(b"raw\n")
        assert sys.stdout.errors == "replace"
    assert vars(sys.stdout) == before
    assert streams.written() == "raw\n"


def test_handlers_made_before_the_run_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    Streams(monkeypatch)
    logger = logging.Logger("training")
    logger.addHandler(logging.StreamHandler())
    with listening() as tail:
        logger.warning("loss is NaN")
    logger.warning("after")
    assert tail.text() == "loss is NaN\n"


def test_start_and_stop_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    Streams(monkeypatch)
    tail = ConsoleTail()
    tail.stop()
    for text in ("one", "two"):
        tail.start()
        tail.start()
        print(text)
        tail.stop()
        tail.stop()
        print("unheard")
    assert tail.text() == "one\ntwo\n"


@pytest.mark.parametrize("inner_first", [False, True])
def test_nested_tails_stop_in_any_order(monkeypatch: pytest.MonkeyPatch, inner_first: bool) -> None:
    streams = Streams(monkeypatch)
    outer, inner = ConsoleTail(), ConsoleTail()
    outer.start()
    print("a")
    inner.start()
    print("b")
    (inner if inner_first else outer).stop()
    print("c")
    (outer if inner_first else inner).stop()
    print("d")
    assert outer.text() == ("a\nb\nc\n" if inner_first else "a\nb\n")
    assert inner.text() == ("b\n" if inner_first else "b\nc\n")
    assert streams.written() == "a\nb\nc\nd\n"
    assert "write" not in vars(sys.stdout)


def test_one_stream_for_both_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Streams(monkeypatch)
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    with listening() as tail:
        print("out")
        print("err", file=sys.stderr)
    assert tail.text() == "out\nerr\n"


def test_a_stream_put_in_place_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    with listening() as tail:
        print("before")
        sys.stdout = mine = io.StringIO()
        print("mine")
    assert sys.stdout is mine
    assert mine.getvalue() == "mine\n"
    assert tail.text() == "before\n"
    assert "write" not in vars(streams.out)


def test_another_that_shadows_write_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    heard: list[str] = []

    def shadow(stream: Any) -> Any:
        inner = stream.write
        stream.write = lambda text: heard.append(text) or inner(text)
        return inner

    shadow(sys.stdout)  # before us: stands there again afterwards
    theirs = sys.stdout.write
    tail = ConsoleTail()
    tail.start()
    tail.stop()
    assert sys.stdout.write is theirs

    tail.start()
    ours = shadow(sys.stdout)  # after us: stays, and puts us back when we are long gone
    tail.stop()
    print("x")
    sys.stdout.write = ours
    print("y")
    assert streams.written() == "x\ny\n"
    assert heard == ["x", "x", "\n", "\n", "y", "\n"]
    assert tail.text() == ""
    tail.start()
    print("z")
    tail.stop()
    assert tail.text() == "z\n"
    assert sys.stdout.write is theirs


class Notebook:
    """A stream as a notebook has it: no file behind, a method more."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("write() argument must be str")
        self.shown.append(text)
        return len(text)

    def flush(self) -> None:
        pass


class Forwarding(Notebook):
    """A wrapper that hands every attribute on, also those that are set."""

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "inner", inner)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.inner, name, value)

    def write(self, text: str) -> int:
        return self.inner.write(text.upper())


class Slotted:
    __slots__ = ("shown",)

    def __init__(self) -> None:
        self.shown: list[str] = []

    def write(self, text: str) -> None:
        self.shown.append(text)


def test_streams_of_other_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Notebook()
    monkeypatch.setattr(sys, "stdout", Forwarding(inner))
    monkeypatch.setattr(sys, "stderr", inner)
    with listening() as tail:
        print("loud")
        with pytest.raises(TypeError):
            sys.stderr.write(b"bytes")
    assert inner.shown == ["LOUD", "\n"]
    assert tail.text().splitlines()[0].lower().startswith("loud")
    assert "write" not in vars(inner) | vars(sys.stdout)


def test_streams_that_cannot_be_heard_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # pythonw
    monkeypatch.setattr(sys, "stderr", stream := Slotted())
    with listening() as tail:
        print("nowhere")
        print("somewhere", file=sys.stderr)
    assert stream.shown == ["somewhere", "\n"]
    assert tail.text() == ""


def test_what_the_stream_refuses_is_raised_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    Streams(monkeypatch)
    with listening() as tail:
        sys.stdout.reconfigure(encoding="ascii")
        with pytest.raises(UnicodeEncodeError):
            print("é")
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")
    assert tail.text() == ""


def test_what_another_stream_accepts_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted: list[object] = []

    class Anything:
        def write(self, text: object) -> str:
            accepted.append(text)
            return "as you like"

    monkeypatch.setattr(sys, "stdout", Anything())
    with listening() as tail:
        assert sys.stdout.write(b"bytes") == "as you like"
        print("\udcff", end="")
    assert accepted == [b"bytes", "\udcff", ""]
    assert tail.text() == "\\udcff"


def test_threads_write_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    with listening(1 << 20) as tail:
        threads = [
            threading.Thread(target=lambda n=n: [print(f"{n}{i:04}\n", end="") for i in range(500)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = [f"{n}{i:04}" for n in range(4) for i in range(500)]
    assert sorted(tail.text().split()) == sorted(streams.written().split()) == expected


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("  0%\r 50%\r100%\n", "100%\n"),
        ("\r  0%\r 50%\r100%", "100%"),
        ("0%\r50%\r", "50%"),  # the cursor goes back, what stands there stays
        ("a\r\nb\r\n", "a\nb\n"),
        ("bar 100%\r        \rdone\n", "done\n"),  # a bar that clears itself
        ("bar 100%\r        \r", ""),
        ("a\rb\nc\rd\n", "b\nd\n"),
        ("\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mrgb\x1b[m\n", "red rgb\n"),
        ("50%\r\x1b[K100%\n", "100%\n"),
        ("\x1b]0;title\x07text \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "text link"),
        ("\x1b(Bplain\x1b=", "plain"),
        ("bell\x07 nul\x00 csi\x9b tab\tend", "bell nul csi tab\tend"),
        ("épée 漢字 🙂\n", "épée 漢字 🙂\n"),
        ("", ""),
    ],
)
def test_text_is_what_the_console_shows(printed: str, shown: str) -> None:
    assert kept(printed) == shown
    assert kept(*printed) == shown


def test_the_last_bytes_are_kept_and_the_cut_is_marked() -> None:
    assert kept("0123456789", limit=10) == "0123456789"
    assert kept("0123456789a", limit=10) == "…123456789a"
    assert kept(*"0123456789" * 10, "end", limit=10) == "…3456789end"
    assert kept("\n", "a\n\rb", limit=3) == "…\nb"  # what is kept was written in one piece
    assert kept("x" * 1000, limit=10) == "…" + "x" * 10
    assert kept("é" * 1000 + "a", limit=10) == "…" + "é" * 4 + "a"  # no half letters


def test_a_progress_bar_does_not_push_out_what_came_before() -> None:
    bar = (f"\r{n:6}/100000 |#######" for n in range(100_000))
    assert kept("epoch 1\n", *bar, "\n", limit=1000) == "epoch 1\n 99999/100000 |#######\n"


def test_memory_is_bounded() -> None:
    tail = ConsoleTail(1000)
    for text in ("x" * 10_000_000, *["", "y"] * 5000, "🙂" * 100_000):
        tail._keep(text)
        assert len(tail._kept) <= 2000
    assert sys.getsizeof(tail._kept) < 20_000


@given(st.lists(st.text("ab\r\n", max_size=12), max_size=40), st.integers(1, 30))
def test_a_small_tail_is_the_end_of_a_large_one(texts: list[str], limit: int) -> None:
    small, whole = kept(*texts, limit=limit), kept(*texts)
    if small.startswith("…"):
        assert whole.endswith(small[1:])
    else:
        assert whole == small
