"""What params tell about a metric, against scipy."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from conftest import add_runs, make_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlgit.ledger import Ledger
from mlgit.records import Metric
from mlgit.site.build import build
from mlgit.site.importance import ENOUGH, correlation, eta_squared, importances, ranks

few = st.integers(-5, 5).map(float)  # so that ties are frequent
many = st.floats(-1e9, 1e9)


@given(st.lists(st.one_of(few, many), min_size=1, max_size=40))
def test_ranks(values: list[float]) -> None:
    assert ranks(values) == stats.rankdata(values).tolist()


@given(st.lists(st.tuples(few, st.one_of(few, many)), min_size=3, max_size=40))
def test_correlation_of_ranks_is_spearmans(pairs: list[tuple[float, float]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    found = correlation(ranks(xs), ranks(ys))
    if len({*xs}) == 1 or len({*ys}) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(xs, ys).statistic, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from("abc"), few), min_size=4, max_size=40))
def test_eta_squared_of_ranks_is_what_kruskal_and_wallis_test(
    pairs: list[tuple[str, float]],
) -> None:
    names, ys = zip(*pairs, strict=True)
    found = eta_squared(names, ranks(ys))
    groups = [[y for name, y in pairs if name == wanted] for wanted in sorted({*names})]
    if len(groups) == 1 or len({*ys}) == 1:
        assert found is None
    else:
        assert found == pytest.approx(
            stats.kruskal(*groups).statistic / (len(pairs) - 1), abs=1e-12
        )


def by_param(params: dict[str, list[Any]], metric: list[float | None]) -> dict[str, Any]:
    return {each.param: each for each in importances(params.items(), metric)}


def test_what_counts_comes_first() -> None:
    chance = random.Random(1)
    count = 60
    lr = [10 ** chance.uniform(-4, -1) for _ in range(count)]
    optimizer = [chance.choice(["adam", "sgd"]) for _ in range(count)]
    loss = [
        x + 0.05 * (kind == "sgd") + chance.gauss(0, 0.003)
        for x, kind in zip(lr, optimizer, strict=True)
    ]
    params = {
        "noise": [chance.random() for _ in range(count)],
        "optimizer": optimizer,
        "lr": lr,
        "path": [f"data/{number}" for number in range(count)],  # of every run its own
        "same": [1] * count,
    }
    found = by_param(params, loss)
    assert set(found) == {"noise", "optimizer", "lr", "path"}
    assert found["lr"].rho > 0.4 and found["lr"].share > 0.25
    assert found["optimizer"].rho is None and found["optimizer"].share > 0.3
    assert found["noise"].share < 0.1 and found["path"].share == 0.0
    assert found["lr"].runs == count


def test_a_best_value_in_the_middle_is_seen() -> None:
    depth = [2, 4, 6, 8, 10] * 6
    loss = [abs(value - 6) + 0.01 * place for place, value in enumerate(depth)]
    found = by_param({"depth": depth}, loss)["depth"]
    assert abs(found.rho) < 0.2 and found.share > 0.8
    lr = [place / 40 for place in range(40)]
    found = by_param({"lr": lr}, [(x - 0.5) ** 2 for x in lr])["lr"]
    assert abs(found.rho) < 0.2 and found.share > 0.7


def test_absent_values_and_what_is_no_number() -> None:
    metric = [1.0, 2.0, 3.0, None, 5.0, 6.0, float("nan"), 7.0]
    params = {
        "some": [1, 2, None, 4, 5, 6, 7, 8],
        "few": [1, 2, None, None, None, None, 1, 2],
        "flag": [True, False, True, False, True, False, True, False],
        "mixed": [1, "auto", 3, 4, "auto", 6, 7, 8],
        "lists": [[1], [2], [1], [2], [1], [2], [1], [2]],
        "infinite": [1, 2, 3, 4, float("inf"), 6, 7, 8],
    }
    found = by_param(params, metric)
    assert set(found) == {"some", "flag", "mixed", "lists", "infinite"}
    assert found["some"].rho == 1.0 and found["some"].runs == ENOUGH
    assert {key for key in found if found[key].rho is None} == {
        "flag",
        "mixed",
        "lists",
        "infinite",
    }
    assert all(0 <= each.share <= 1 for each in found.values())


def test_chance_is_taken_off() -> None:
    chance = random.Random(2)
    shares = []
    for _ in range(300):
        metric = [chance.random() for _ in range(12)]
        names = [chance.choice("abcdef") for _ in range(12)]
        shares += [each.share for each in importances([("p", names)], metric)]
    # Left as it is, eta squared would be 5 / 11 on average.
    assert sum(shares) / len(shares) < 0.2


def test_an_experiment_says_what_its_metric_depends_on(repo: Path, tmp_path: Path) -> None:
    for experiment, count in (("many", 9), ("few", 3)):
        add_runs(
            repo,
            *(
                make_run(
                    experiment=experiment,
                    params={"depth": depth, "kind": "ab"[depth % 2], "same": 1},
                    metrics={"val/loss": Metric(last=depth, min=0, max=9, step=0, count=1)},
                )
                for depth in range(count)
            ),
        )
    with Ledger() as ledger:
        build(ledger, tmp_path / "out")
    many, few = (
        (tmp_path / "out" / "experiments" / f"{name}.html").read_text("utf-8")
        for name in ("many", "few")
    )
    assert "<bdi>depth</bdi></th>" in many and '<td class="n">100 %</td>' in many
    assert '<td class="n">+1.00</td><td class="n">9</td>' in many
    table = many[many.index('id="telling"') :]
    assert table.index(">depth<") < table.index(">kind<") and ">same<" not in table
    assert "depends on" not in few
