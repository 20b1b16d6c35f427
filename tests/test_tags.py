"""The names of git tags: one spelling each, GTO's where GTO has one."""

from __future__ import annotations

import pytest
from conftest import git
from gto.tag import parse_name
from hypothesis import example, given
from hypothesis import strategies as st

from mlgit import tags
from mlgit.errors import Invalid
from mlgit.tags import EventName

GOOD = {
    "churn@v1.0.0": EventName("churn", "register", "v1.0.0"),
    "churn@v2.0.0#9": EventName("churn", "register", "v2.0.0", None, 9),
    "churn@v2.0.0!#7": EventName("churn", "withdraw", "v2.0.0", None, 7),
    "churn@v2.0.0!": EventName("churn", "withdraw", "v2.0.0"),
    "churn@v1.0.0-rc.1+build.5": EventName("churn", "register", "v1.0.0-rc.1+build.5"),
    "churn#production#5": EventName("churn", "assign", None, "production", 5),
    "churn#production": EventName("churn", "assign", None, "production"),
    "churn#production!#6": EventName("churn", "unassign", None, "production", 6),
    "churn#a/b#6": EventName("churn", "assign", None, "a/b", 6),
    "churn@deprecated#8": EventName("churn", "deprecate", None, None, 8),
    "team/churn@v1.0.0": EventName("team/churn", "register", "v1.0.0"),
    "models=churn@v1.0.0": EventName("models:churn", "register", "v1.0.0"),
    "gr%C3%B6%C3%9Fe%202@v1.0.0": EventName("größe 2", "register", "v1.0.0"),
    "a_b-c@v0.0.1": EventName("a_b-c", "register", "v0.0.1"),
}
BAD = [
    *("churn", "churn@", "churn#", "churn@1.0.0", "churn@v1", "churn@v1.0", "churn@v01.0.0"),
    *("churn@v1.0.0#", "churn#production#x", "churn#production!!#5", "churn!#5", "@v1.0.0"),
    *("churn@created#1", "churn@v1.0.0#5#6", "churn#-x#1", "churn#x-#1", "-churn@v1.0.0"),
    *("churn-@v1.0.0", "/churn@v1.0.0", "a//b@v1.0.0", "ch%75rn@v1.0.0", "a%2@v1.0.0"),
    *(
        "churn@v1.0.0 ",
        "churn\n@v1.0.0",
        "v1.0.0",
        "run/baseline",
        "gr%c3%b6@v1.0.0",
        "größe@v1.0.0",
    ),
    "churn@v1.0.0#1234567890123",
]


@pytest.mark.parametrize("tag", GOOD)
def test_a_name_that_parses_is_spelled_back(tag: str) -> None:
    assert tags.parse(tag) == GOOD[tag]
    assert str(GOOD[tag]) == tag
    assert tags.is_ours(tag)
    git("check-ref-format", f"refs/tags/{tag}")


@pytest.mark.parametrize("tag", BAD)
def test_this_is_no_event(tag: str) -> None:
    assert tags.parse(tag) is None


@pytest.mark.parametrize("tag", [tag for tag in GOOD if "%" not in tag])
def test_gto_reads_them_alike(tag: str) -> None:
    ours, theirs = GOOD[tag], parse_name(tag)
    assert theirs["name"] == ours.model
    actions = {"assign": "assign", "unassign": "unassign", "register": "register"}
    actions |= {"withdraw": "deregister", "deprecate": "deprecate"}
    assert theirs["action"].value == actions[ours.action]
    assert (theirs.get("version"), theirs.get("stage")) == (ours.version, ours.stage)
    assert theirs.get("counter") == ours.counter


@given(st.text(min_size=1, max_size=40))
@example("0:")
def test_any_name_a_model_may_have_comes_back(name: str) -> None:
    try:
        name = tags.model_name(name)
    except Invalid:
        return
    tag = str(EventName(name, "assign", stage="production", counter=3))
    assert tags.parse(tag) == EventName(name, "assign", None, "production", 3)
    assert tags.is_pin(tags.pin(name)) and tags.parse(tags.pin(name)) is None
    git("check-ref-format", f"refs/tags/{tag}")
    git("check-ref-format", f"refs/tags/{tags.pin(name)}")


@pytest.mark.parametrize("name", ["", " x", "x\n", "a\x00b", "x" * 300, "\ud800"])
def test_names_that_no_model_has(name: str) -> None:
    with pytest.raises(Invalid):
        tags.model_name(name)


@pytest.mark.parametrize(
    ("said", "version"),
    [("2", "v2.0.0"), ("v2", "v2.0.0"), ("2.1", "v2.1.0"), ("v1.2.3-rc.1", "v1.2.3-rc.1")],
)
def test_versions(said: str, version: str) -> None:
    assert tags.version_name(said) == version


@pytest.mark.parametrize("said", ["", "v", "two", "1.2.3.4", "v01.0.0", "v1.0.0 ", "-1", "v1..2"])
def test_what_is_no_version(said: str) -> None:
    assert tags.find_version(said) is None
    with pytest.raises(Invalid, match="is no version"):
        tags.version_name(said)
