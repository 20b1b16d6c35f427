"""Ids, paths and names: both directions of every spelling, and what may not be a name."""

from __future__ import annotations

import os
import threading
import unicodedata
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlgit import names
from mlgit.errors import Invalid

ID = "01kb2q6v6r8m3x0c5t1w9y7zab"
DAY = "runs/2025/11/27"
FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"

# Any text that UTF-8 can carry; names are drawn from this, and from what git is wary of.
texts = st.text(st.characters(exclude_categories=["Cs"]))
wary = st.text(st.sampled_from([*".git~1:/\\ mod%2E\0\n", "\u200c", "\u202e", "\ufeff", "\u0130"]))
moments = st.integers(0, 2**48 - 1)


# --- ids -------------------------------------------------------------------------------


def test_ids_of_one_process_ascend_and_never_share_a_millisecond() -> None:
    ids = [names.new_id() for _ in range(2000)]
    assert ids == sorted(ids)
    assert len({run_id[:10] for run_id in ids}) == len(ids)
    assert all(names.is_id(run_id) for run_id in ids)


def test_ids_made_in_several_threads_are_distinct_in_ten_characters() -> None:
    found: list[list[str]] = [[] for _ in range(8)]
    start = threading.Barrier(len(found))

    def make(ids: list[str]) -> None:
        start.wait()
        ids += [names.new_id() for _ in range(500)]

    threads = [threading.Thread(target=make, args=(ids,)) for ids in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in found)
    assert len({run_id[:10] for ids in found for run_id in ids}) == 8 * 500


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # pytest-xdist has threads
def test_a_child_forked_while_the_lock_is_held_can_make_ids() -> None:
    receiving, sending = os.pipe()
    with names._id_lock:
        child = os.fork()
        if child == 0:
            os.write(sending, names.new_id().encode())
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        assert names.is_id(pipe.read())
    assert os.waitpid(child, 0)[1] == 0


@given(moments)
@example(0)
@example(86_400_000 - 1)  # the last millisecond of a day
@example(253_402_300_799_999)  # of the year 9999
@example(2**48 - 1)
def test_an_id_tells_its_time_and_lies_in_the_folder_of_that_day(ms: int) -> None:
    run_id = names.new_id(ms)
    assert names.id_ms(run_id) == ms
    try:
        day = f"{datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms):%Y/%m/%d}"
    except OverflowError:
        day = "9999/12/31"
    assert names.run_folder(run_id) == f"runs/{day}/{run_id}"


@given(moments, st.integers(1, 26))
def test_the_days_of_a_prefix_enclose_every_run_that_begins_with_it(ms: int, length: int) -> None:
    run_id = names.new_id(ms)
    first, last = names.id_days(run_id[:length])
    assert first <= names.run_folder(run_id)[5:15] <= last
    assert names.is_id_prefix(run_id[:length])
    if length >= 10:
        assert first == last


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID[:-1],
        ID + "0",
        ID.upper(),
        "8" + ID[1:],  # the time has 48 bits: the first character is at most 7
        *(ID[:-1] + letter for letter in "ilou"),  # Crockford leaves these out
        ID[:-1] + "\N{FULLWIDTH DIGIT ONE}",
        ID + "\n",
        "../" + ID[3:],
    ],
)
def test_this_is_no_id(text: str) -> None:
    assert not names.is_id(text)
    assert names.place(f"{DAY}/{text}/run.json").kind == "other"


# --- times -----------------------------------------------------------------------------


@given(st.integers(0, 253_402_300_799_999), st.integers(0, 253_402_300_799_999))
def test_a_time_comes_back_and_sorts_as_text(ms: int, other: int) -> None:
    stamp = names.timestamp(ms / 1000)
    assert names.seconds(stamp) == pytest.approx(ms / 1000, abs=1e-4)
    assert (stamp < names.timestamp(other / 1000)) is (ms < other)


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T20:32:01.123456",  # of which zone?
        "2026-11-22T20:32:01Z",
        "2026-11-22T20:32:01.123Z",
        "2026-11-22T20:32:01.123456+02:00",  # would not sort as text
        "2026-11-22 20:32:01.123456Z",
        "2026-13-22T20:32:01.123456Z",
        "2026-11-22T20:32:61.123456Z",
        "0000-11-22T20:32:01.123456Z",
        "2026-11-22T20:32:01.123456Z\n",
        "\N{FULLWIDTH DIGIT TWO}026-11-22T20:32:01.123456Z",
    ],
)
def test_a_time_has_one_spelling(stamp: str) -> None:
    with pytest.raises(Invalid, match="is not a time"):
        names.seconds(stamp)


# --- places ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (names.run_file(ID, names.RUN_FILE), ("run", ID, "run.json")),
        (names.artifact_file(ID, "plots/roc.png"), ("run", ID, "files/plots/roc.png")),
        (names.run_fact_file(ID, ID), ("run", ID, f"facts/{ID}.json")),
        (
            names.experiment_fact_file("team/churn", ID),
            ("experiment", "team/churn", f"facts/{ID}.json"),
        ),
        (names.remote_fact_file("s3-eu", ID), ("remote", "s3-eu", f"facts/{ID}.json")),
        (names.environment_file("a" * 64), ("environment", "a" * 64, "")),
        (names.model_fact_file("team/churn", ID), ("model", "team/churn", f"facts/{ID}.json")),
        (
            names.profile_file(f"{'a' * 32}.dir", "b" * 64),
            ("profile", f"{'a' * 32}.dir", f"{'b' * 64}.json"),
        ),
        (names.MARK, ("mark", "", "")),
        (names.DVC_IGNORE, ("ignore", "", "")),
    ],
)
def test_a_place_is_the_inverse_of_the_path(path: str, place: tuple[str, str, str]) -> None:
    assert names.place(path) == place


@pytest.mark.parametrize(
    "path",
    [
        "",
        "README.md",
        f"runs/{ID}/run.json",
        f"{DAY}/{ID}",
        f"runs/2025/11/28/{ID}/run.json",  # the folder of another day
        f"{DAY}/{ID}/a\nb",
        f"x/{DAY}/{ID}/run.json",
        "environments/short.json",
        f"environments/{'A' * 64}.json",
        f"environments/{'a' * 64}.json.bak",
        "experiments/churn",
        "experiments/team%2fchurn/facts/x.json",  # `encode` writes %2F
        "experiments/%63hurn/facts/x.json",  # and leaves letters alone
        "experiments/%FF/facts/x.json",  # no UTF-8
        "experiments/%/facts/x.json",
        "experiments/%00/facts/x.json",  # no experiment may be called that
        "experiments/../facts/x.json",
        f"experiments/{'a' * 241}/facts/x.json",
        "remotes/s3%2Deu/facts/x.json",
        "remotes/-o/facts/x.json",
        "models/%63hurn/facts/x.json",
        f"profiles/{'a' * 31}/{'a' * 64}.json",
        f"profiles/{'a' * 32}/{'a' * 63}.json",
        f"profiles/../{'a' * 64}.json",
        "monitors/churn/facts/x.json",  # a later mlgit's
    ],
)
def test_this_path_is_left_alone(path: str) -> None:
    assert names.place(path) == ("other", "", path)


# --- names as path components ------------------------------------------------------------


@given(texts | wary)
@example("")
@example(".git")
@example("\u200c.git")
@example("git~1")
@example("...")
@example("a.")
def test_an_encoded_name_is_harmless_and_comes_back(name: str) -> None:
    component = names.encode(name)
    assert names.is_safe_component(component) or not name
    assert component.isprintable() or not name.isprintable()
    assert not component.startswith((".", " ")) and not component.endswith((".", " "))
    assert not set(component) & set('/\\:*?"<>|~\u200c\u202e\ufeff')
    try:
        known = names.experiment_name(name)
    except Invalid:
        assert names.decode(component) is None or names.decode(component) != name
    else:
        assert names.decode(names.encode(known)) == known


@given(texts | wary, texts | wary)
def test_two_names_never_meet_in_one_component(one: str, other: str) -> None:
    assert one == other or names.encode(one) != names.encode(other)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("nyc-taxi_2.0", "nyc-taxi_2.0"),
        ("team/churn", "team%2Fchurn"),
        ("größe", "größe"),
        ("цены на жильё", "цены%20на%20жильё"),
        ("हिन्दी", "हिन्दी"),  # with its vowel signs
        ("\N{ROCKET}", "\N{ROCKET}"),
        (FAMILY, FAMILY.replace("\N{ZERO WIDTH JOINER}", "%E2%80%8D")),
        ("..", "%2E%2E"),
        (".git", "%2Egit"),
        ("v1.", "v1%2E"),
        ("git~1", "git%7E1"),
        ("100%", "100%25"),
        ("a\N{NO-BREAK SPACE}b", "a%C2%A0b"),
        # Assigned in Unicode 15 and 17: the spelling must not wait for Python to know them.
        ("\U00011f04\U000323b0", "\U00011f04\U000323b0"),
    ],
)
def test_this_name_is_spelled_so(name: str, component: str) -> None:
    assert names.encode(name) == component
    assert names.decode(component) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a\0b",
        ".git",
        ".GIT",
        ".git ",
        ".git..",
        ".git:x",
        ".git:\nx",
        "git~1",
        "GIT~12",
        "git~1 .",
        "git~1:x",
        ".gitmodules",
        ".g\u200cit",
        "\ufeff.git",
        ".gi\u202et",
    ],
)
def test_git_must_not_be_given_this_component(name: str) -> None:
    assert not names.is_safe_component(name)


@pytest.mark.parametrize(
    "name", ["a", ".gitignore", ".github", "...", "git", "git~x", "x.git", "run.json", "größe"]
)
def test_git_may_be_given_this_component(name: str) -> None:
    assert names.is_safe_component(name)


# --- what may be a name ------------------------------------------------------------------


def a_key(text: str) -> str:
    return names.key("metric", text)


EVERY = [names.experiment_name, names.run_name, a_key, names.artifact_path]
RULES = pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.__name__)


@RULES
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " a",
        "a ",
        "a\n",
        "\u3000a",  # a blank of another script
        "a\nb",
        "a\tb",
        "a\0b",
        "a\x1b[31mb",
        "a\x7fb",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "a\ud800b",  # half a character
        "x" * 10_000,
        "\N{ROCKET}" * 10_000,
        None,
        1,
        b"bytes",
        ["a"],
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_nothing_may_be_called_this(rule: Any, text: Any) -> None:
    with pytest.raises(Invalid) as caught:
        rule(text)
    assert len(caught.value.message) < 200 and caught.value.message.isprintable()


@RULES
@pytest.mark.parametrize(
    "text",
    [
        "a",
        "val-acc_1.5 (best) @ 3%",
        "team/churn",
        "größe",
        "日本語",
        "\N{ROCKET}",
        FAMILY,
        "a\N{RIGHT-TO-LEFT MARK}b",
        "שלום",
        "'; drop table runs; --",
        "<script>alert(1)</script>",
        "$HOME",
        "-rf",
    ],
    ids=ascii,
)
def test_anything_may_be_called_this(rule: Any, text: str) -> None:
    assert rule(text) == text


@RULES
def test_names_are_brought_into_one_form(rule: Any) -> None:
    assert rule("cafe\N{COMBINING ACUTE ACCENT}") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}"


@pytest.mark.parametrize(
    ("rule", "longest", "limit"),
    [
        (names.run_name, "x" * 250, "250"),
        (a_key, "\N{ROCKET}" * 250, "250"),  # characters, not bytes
        (names.experiment_name, "x" * 240, "240"),
        (names.experiment_name, "\N{ROCKET}" * 60, "240"),  # bytes of its folder's name
        (names.experiment_name, "/" * 80, "240"),
        (names.artifact_path, "x" * 255, "long"),
        (names.artifact_path, "/".join(["x" * 204] * 5), "long"),
    ],
)
def test_a_name_may_be_so_long_and_no_longer(rule: Any, longest: str, limit: str) -> None:
    assert rule(longest) == longest
    with pytest.raises(Invalid, match=limit):
        rule(longest + longest[0])


@pytest.mark.parametrize("name", ["..", ".git", "/", "/etc/passwd", "a\\b", "con", "git~1"])
def test_an_experiment_may_be_called_what_no_folder_may(name: str) -> None:
    assert names.decode(names.encode(names.experiment_name(name))) == name


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "..",
        "../x",
        "a/../../x",
        "a/./b",
        "/etc/passwd",
        "a//b",
        "a/",
        "a\\b",
        "C:\\x",
        ".git/config",
        "a/.GIT/hooks/post-checkout",
        "a/.g\u200cit/config",
        "git~1/config",
        ".gitmodules",
        "a/" + "x" * 256,
    ],
)
def test_an_artifact_may_not_lie_there(path: str) -> None:
    with pytest.raises(Invalid):
        names.artifact_path(path)


@pytest.mark.parametrize("path", ["a", "a b", ".gitmodules", "x\\y", "cafe\u0301", "a\nb", " a"])
def test_a_stored_folder_keeps_the_names_it_has(path: str) -> None:
    assert names.member_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a//b", "..", "a/../b", "./a", ".git/config", "a/.G\u200cIT/x", "\ud800", "a\0", 5],
)
def test_a_file_of_a_stored_folder_may_not_lie_there(path: Any) -> None:
    with pytest.raises(Invalid):
        names.member_path(path)


@pytest.mark.parametrize("name", ["", "-o", "a b", "a.b", "größe", "a/b", "x" * 101, None])
def test_a_remote_may_not_be_called_this(name: Any) -> None:
    with pytest.raises(Invalid):
        names.remote_name(name)


@given(texts | wary)
def test_a_name_that_passes_passes_again_unchanged(text: str) -> None:
    for rule in EVERY:
        try:
            once = rule(text)
        except Invalid:
            continue
        assert rule(once) == once == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "'plain'"),
        ("a\x1b[31m", "'a\\x1b[31m'"),
        ("\u202e", "'\\u202e'"),
        ("x" * 100, "'" + "x" * 57 + "…'"),
        (["x" * 100], "['" + "x" * 56 + "…]"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_harmless_and_short(value: Any, text: str) -> None:
    assert names.shown(value) == text
