"""The model's card: its figures, computed here in another way, and the groups that it leaves out."""

import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from dataflix_recommender import rank
from dataflix_training.evaluation import holdout_users
from dataflix_training.experiment import Experiment, fit_recipe, run_experiment
from dataflix_training.film_features import Film
from dataflix_training.fitting import ALS_STARS
from dataflix_training.model_card import render, summary
from dataflix_training.promotion_gate import Decision
from dataflix_training.ratings import Ratings, in_order, split_latest
from dataflix_training.scores import gain
from support.ratings import synthetic_ratings

Cells = dict[str, list[str]]
FILMS: dict[int, Film] = {
    one: (f"Film {one}", None if one % 10 == 0 else 1950 + one % 60, ("Drama",)) for one in range(1, 206)
}
#: Films of the 1880s, which fewer than ten people have rated in the test, and whose row is left out.
OLD = (1001, 1002)


def group_of(count: int) -> str:
    """The name of the row for people or films with so many ratings."""
    edges = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000]
    least = max(edge for edge in edges if edge <= count)
    most = edges[edges.index(least) + 1] - 1
    return str(least) if least == most else f"{least} to {most}"


def decade_of(film: int) -> str:
    """The name of the row for a film's release."""
    year = FILMS[film][1]
    return f"{year // 10 * 10} to {year // 10 * 10 + 9}" if year else "in an unknown year"


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    made = synthetic_ratings(users=300, items=200, rows=12_000)
    people = np.unique(made.user_ids)[:5]
    late = int(made.rated_at.max()) + 1
    return in_order(
        np.concatenate([made.user_ids, np.repeat(people, 2)]),
        np.concatenate([made.movie_ids, np.tile(OLD, 5)]),
        np.concatenate([made.stars, np.tile([5.0, 1.0], 5)]),
        np.concatenate([made.rated_at, np.full(10, late)]),
        7,
    )


@pytest.fixture(scope="module")
def films() -> dict[int, Film]:
    return FILMS | {one: (f"Old {one}", 1888, ("Drama",)) for one in OLD}


@pytest.fixture(scope="module")
def experiment(ratings: Ratings, films: dict[int, Film]) -> Experiment:
    return run_experiment(ratings, films=films)


@pytest.fixture(scope="module")
def card(experiment: Experiment, ratings: Ratings) -> str:
    return render(
        experiment, ratings, "made-up ratings", Decision("champion", ("it is good",)), "For a test."
    )


@pytest.fixture(scope="module")
def judged(experiment: Experiment, ratings: Ratings, films: dict[int, Film]) -> pd.DataFrame:
    """The ratings of the test, with the groups that they belong to, and the squared errors of their stars."""
    rest, test = split_latest(ratings, 0.2)
    factors, _ = fit_recipe(rest, experiment.recipe, films)
    frame = pd.DataFrame({"user": test.user_ids, "film": test.movie_ids, "stars": test.stars})
    frame["off"] = (factors.predict(test.user_ids, test.movie_ids) - test.stars) ** 2
    of_person, of_film = pd.Series(rest.user_ids).value_counts(), pd.Series(rest.movie_ids).value_counts()
    frame["person"] = [group_of(int(of_person.get(user, 0))) for user in frame.user]
    frame["popularity"] = [group_of(int(of_film.get(film, 0))) for film in frame.film]
    frame["decade"] = [decade_of(film) if film in FILMS else "1880 to 1889" for film in frame.film]
    return frame


def section(card: str, title: str) -> str:
    """The text below a heading."""
    return card.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def rows(card: str, title: str) -> Cells:
    """The rows of a section's table, by their first cell."""
    lines = [line for line in section(card, title).splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


@pytest.mark.parametrize(
    ("title", "column"),
    [
        ("By a person's number of ratings", "person"),
        ("By a film's number of ratings", "popularity"),
        ("By the year of release", "decade"),
    ],
)
def test_each_group_has_its_own_error_and_small_groups_are_left_out(
    card: str, judged: pd.DataFrame, title: str, column: str
) -> None:
    by_group = judged.groupby(column)
    large = by_group.user.nunique() >= 10
    found = rows(card, title)
    assert set(found) == set(large[large].index)
    assert len(found) > 1
    for name, some in by_group:
        if large[name]:
            people, count, rmse = found[str(name)][:3]
            assert (people, count) == (f"{some.user.nunique():,}", f"{len(some):,}")
            assert rmse.split(" ")[0] == f"{np.sqrt(some.off.mean()):.3f}"
    left_out = re.findall(r"fewer than 10 people: (\d+)", section(card, title))
    assert [int(one) for one in left_out] == ([(~large).sum()] if (~large).any() else [])


def test_a_decade_of_few_people_is_left_out(card: str, judged: pd.DataFrame) -> None:
    assert "1880 to 1889" in set(judged.decade)
    assert "1880" not in card
    assert "in an unknown year" in rows(card, "By the year of release")


def test_rankings_are_by_the_people_of_the_group(
    card: str, experiment: Experiment, ratings: Ratings, films: dict[int, Film]
) -> None:
    rest, test = split_latest(ratings, 0.2)
    _, model = fit_recipe(rest, experiment.recipe, films)
    found: dict[str, list[float]] = {}
    holdout = holdout_users(rest, test)
    for user, liked in zip(holdout.user_ids.tolist(), holdout.liked, strict=True):
        name = group_of(int((rest.user_ids == user).sum()))
        found.setdefault(name, []).append(gain(rank(model, model.profile(user), 10).item_ids, liked))
    table = rows(card, "By a person's number of ratings")
    for name, gains in found.items():
        if name in table:
            expected = f"{np.mean(gains):.3f}" if len(gains) >= 10 else ""
            assert table[name][3].split(" ")[0] == expected


def test_the_models_are_side_by_side(card: str, experiment: Experiment) -> None:
    table = rows(card, "Stars and rankings")
    assert list(table) == ["Dataflix", "Surprise's SVD, its defaults", "popularity", "global mean"]
    for name, cells in zip(experiment.scores, table.values(), strict=True):
        known = experiment.scores[name].known()
        for place, figure in enumerate(
            ("rmse", "mae", None, "ndcg_at_10", "precision_at_10", "recall_at_10", "coverage")
        ):
            if figure:
                assert cells[place].split(" ")[0] == (f"{known[figure]:.3f}" if figure in known else "")


def test_new_people_are_beside_popularity(card: str, experiment: Experiment) -> None:
    table = rows(card, "New people")
    assert list(table) == ["0", "1", "3", "5", "10", "20"]
    for name in ("dataflix", "popularity"):
        for count, value in experiment.judgements[name].by_count.items():
            assert table[str(count)][2 if name == "dataflix" else 3].split(" ")[0] == f"{value:.3f}"


def test_data_are_told_by_their_sums(card: str, ratings: Ratings) -> None:
    table = rows(card, "Data")
    assert table["ratings"] == [f"{len(ratings):,}"]
    assert table["people"] == [f"{len(np.unique(ratings.user_ids)):,}"]
    unrated = len(set(FILMS) - set(ratings.movie_ids.tolist()))
    assert table["films"] == [f"{len(FILMS) + 2}, of which {unrated} have no rating"]
    assert table["newest change (`max_version`)"] == ["7"]
    assert table["sha256 of the ratings"] == [f"`{ratings.digest()}`"]
    assert f"{unrated} films have no rating" in section(card, "Weaknesses")
    assert "Fairness among groups of people" in section(card, "Weaknesses")


def test_the_recipe_has_what_something_was_fitted_with(
    card: str, experiment: Experiment, ratings: Ratings
) -> None:
    table = rows(card, "Recipe")
    recipe = {f"`{name}`": [str(value)] for name, value in asdict(experiment.recipe).items()}
    assert table == {name: value for name, value in recipe.items() if "als_" not in name}
    recipe_of_spark = replace(experiment.recipe, stars=ALS_STARS)
    on_spark = replace(experiment, tuning=replace(experiment.tuning, recipe=recipe_of_spark))
    card = render(on_spark, ratings, "made-up ratings", Decision("champion", ()), "For a test.")
    assert list(rows(card, "Recipe")) == list(recipe)


def test_people_who_are_too_few_for_a_ranking_have_none(experiment: Experiment, ratings: Ratings) -> None:
    people = [replace(one, ranked=9) for one in experiment.groups.people]
    few = replace(experiment, groups=replace(experiment.groups, people=people))
    card = render(few, ratings, "made-up ratings", Decision("champion", ()), "For a test.")
    assert {cells[3] for cells in rows(card, "By a person's number of ratings").values()} == {""}


def test_a_versions_description_says_where_the_card_is() -> None:
    outcome = {
        "rows": 12_000,
        "rmse": 0.85,
        "ndcg_at_10": 0.128,
        "coverage": 0.056,
        "alias": "champion",
        "reasons": ["there was none before"],
        "mlflow_run_id": "abc",
    }
    assert summary(outcome) == (
        "Trained with 12,000 ratings. On held-out ratings: RMSE 0.8500, nDCG@10 0.1280, coverage 0.0560."
        " The gate made it the champion: there was none before."
        " The model card is the artifact model_card.md of the run abc."
    )
