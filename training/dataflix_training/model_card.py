"""Write a model's card: what it is for, how it was judged, where it is weak. Markdown; no I/O.

A card holds figures of groups of :data:`FEWEST_PEOPLE` people or more, and nothing about a single person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from dataflix_training.evaluation import MOST_PEOPLE
from dataflix_training.experiment import TEST_SHARE, Experiment
from dataflix_training.fitting import ALS_STARS
from dataflix_training.promotion_gate import Decision
from dataflix_training.ratings import FEWEST_TO_SPLIT, Ratings
from dataflix_training.scores import LIKED, SHOWN, Estimate, Group
from dataflix_training.scores_by_group import EDGES
from dataflix_training.tuning import VALIDATION_SHARE

#: The card's file among the artefacts of the MLflow run.
CARD_FILE = "model_card.md"
#: Groups of fewer people are left out.
FEWEST_PEOPLE = 10
#: A decade with a smaller share of the held-out ratings is named among the weaknesses.
_FEW_RATINGS = 0.01
_NAMES = {
    "dataflix": "Dataflix",
    "surprise_svd": "Surprise's SVD, its defaults",
    "popularity": "popularity",
    "global_mean": "global mean",
}
_PURPOSE = """\
**For**: predicting how many stars a person of this service would give a film, ordering films by what the
person may like next, finding similar films, and saying which rated films speak for a recommendation.

**Not for**: judging people, or the quality of films; deciding about anything but what is shown; people or
films of another service, where the same ids are other people and films."""
_AGAIN = """\
Ratings with the same sha256, the same films, recipe, libraries, processor and number of threads give the same
numbers to the last bit; with another number of threads the last bits of VB-MF's numbers can differ.
`bin/dataflix-train` trains with two threads, on the ratings that are in the warehouse.

`bin/dataflix-model rollback` puts the version before in service again, and
`bin/dataflix-model promote VERSION` any other; `bin/dataflix-model list` shows them."""


def render(
    experiment: Experiment, ratings: Ratings, source: str, decision: Decision, introduction: str
) -> str:
    """The card.

    Args:
        experiment: what came of the training.
        ratings: all that it was trained with.
        source: where these are from, in words.
        decision: what the gate said.
        introduction: which training this is, and who needs the card, in Markdown.
    """
    groups = experiment.groups
    sections = {
        "What it is for": _PURPOSE,
        "Data": _data(experiment, ratings, source),
        "How it was judged": _protocol(experiment),
        "Recipe": _table(("setting", "value"), _recipe(experiment)),
        "Stars and rankings": _scores(experiment),
        "By a person's number of ratings": _people(groups.people),
        "New people": _new_people(experiment),
        "By a film's number of ratings": _films("ratings of the film", groups.popularity, _count),
        "By the year of release": _films("released", groups.decades, _decade),
        "Weaknesses": _list(_weaknesses(experiment)),
        "The gate": f"It made this model the {decision.alias}: {'; '.join(decision.reasons)}.",
        "Reproducing it, and rolling back": _AGAIN,
    }
    parts = [f"# Model card\n\n{introduction}"]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def summary(outcome: Mapping[str, Any]) -> str:
    """The description of a version in the registry, from a training's outcome; the same each time."""
    return (
        f"Trained with {outcome['rows']:,} ratings. On held-out ratings: RMSE {outcome['rmse']:.4f},"
        f" nDCG@10 {outcome['ndcg_at_10']:.4f}, coverage {outcome['coverage']:.4f}."
        f" The gate made it the {outcome['alias']}: {'; '.join(outcome['reasons'])}."
        f" The model card is the artifact {CARD_FILE} of the run {outcome['mlflow_run_id']}."
    )


def _data(experiment: Experiment, ratings: Ratings, source: str) -> str:
    rated = experiment.model.rating_counts > 0
    first, last = (
        datetime.fromtimestamp(int(at) / 1e6, UTC) for at in (ratings.rated_at.min(), ratings.rated_at.max())
    )
    rows = [
        ("source", source),
        ("ratings", f"{len(ratings):,}"),
        ("people", f"{len(experiment.model.user_ids):,}"),
        ("films", f"{len(rated):,}, of which {np.count_nonzero(~rated):,} have no rating"),
        ("rated from, to", f"{first:%Y-%m}, {last:%Y-%m}"),
        ("newest change (`max_version`)", f"{ratings.max_version}"),
        ("sha256 of the ratings", f"`{ratings.digest()}`"),
    ]
    return _table(("", ""), rows)


def _protocol(experiment: Experiment) -> str:
    parts, tuning = experiment.parts, experiment.tuning
    test, validation = f"{100 * TEST_SHARE:g} %", f"{100 * VALIDATION_SHARE:g} %"
    told = [
        (
            f"Split by time: the latest {test} of each person's ratings are the test"
            f" ({parts['rows_tested']:,} ratings; {parts['rows_trained']:,} remain). People with fewer than"
            f" {FEWEST_TO_SPLIT} ratings are not in the test."
        ),
        f"The recipe was chosen on the latest {validation} of what remains, without the test, by"
        f" {tuning.people[0]:,} of {tuning.people[1]:,} people ({tuning.rows:,} ratings)"
        + (", who were drawn by chance." if tuning.people[0] < tuning.people[1] else "."),
        f"Stars are judged on the whole test. Rankings are judged by {parts['people_ranked']:,} people who"
        f" gave a film of the test {LIKED:g} stars or more"
        + (
            "; there are more, and these are spread evenly over their ids."
            if parts["people_ranked"] == MOST_PEOPLE
            else "."
        ),
        f"A ranking shows {SHOWN} films that the person has not rated; films that were liked later are hits.",
        (
            "New people were drawn by chance and left out of another fit with the same recipe. They are"
            " judged after their first few ratings, on all their later ones."
        ),
        "± is one standard error, over people.",
        (
            "The model in service is fitted on all ratings with the recipe chosen; the figures are of the fit"
            " without the test."
        ),
    ]
    return _list(told)


def _recipe(experiment: Experiment) -> list[tuple[str, str]]:
    with_als = experiment.recipe.stars == ALS_STARS  # otherwise nothing is fitted with these settings
    return [
        (f"`{name}`", f"{value}")
        for name, value in asdict(experiment.recipe).items()
        if with_als or not name.startswith("als_")
    ]


def _scores(experiment: Experiment) -> str:
    rows = []
    for name, scores in experiment.scores.items():
        known = scores.known()
        within = known.get("within_deviation")
        rows.append(
            (
                _NAMES[name],
                *(_known(known, figure) for figure in ("rmse", "mae")),
                "" if within is None else f"{100 * within:.1f} %",
                *(
                    _known(known, figure)
                    for figure in ("ndcg_at_10", "precision_at_10", "recall_at_10", "coverage")
                ),
            )
        )
    header = ("", "RMSE", "MAE", "within one deviation", "nDCG@10", "Precision@10", "Recall@10", "coverage")
    return _table(header, rows) + (
        "\n\n*Within one deviation*: the share of held-out ratings no farther from the predicted stars than"
        " the standard deviation that is given with them; 68 % would be right. *Coverage*: the share of the"
        " rated films that somebody is shown."
    )


def _people(groups: Sequence[Group]) -> str:
    rows = [
        (
            _count(one.least),
            f"{one.people:,}",
            f"{one.ratings:,}",
            _estimate(one.rmse),
            _estimate(_ranking(one)),
        )
        for one in _shown(groups)
    ]
    header = ("ratings of the person", "people", "ratings in the test", "RMSE", "nDCG@10")
    return _table(header, rows) + _left_out(groups)


def _new_people(experiment: Experiment) -> str:
    groups = experiment.judgements["dataflix"].new_people
    if not groups:
        return "Too few people have liked a film to leave any out."
    popular = experiment.judgements["popularity"].by_count
    rows = [
        (
            f"{one.least}",
            f"{one.people:,}",
            _estimate(one.rmse),
            _estimate(_ranking(one)),
            f"{popular[one.least]:.3f}" if _ranking(one) else "",
        )
        for one in _shown(groups)
    ]
    header = ("ratings known", "people", "RMSE", "nDCG@10", "nDCG@10 of popularity")
    return _table(header, rows) + _left_out(groups)


def _films(title: str, groups: Sequence[Group], name: Callable[[int], str]) -> str:
    rows = [
        (name(one.least), f"{one.people:,}", f"{one.ratings:,}", _estimate(one.rmse))
        for one in _shown(groups)
    ]
    return _table((title, "people", "ratings in the test", "RMSE"), rows) + _left_out(groups)


def _weaknesses(experiment: Experiment) -> list[str]:
    groups, judged = experiment.groups, experiment.judgements
    popularity, people = _shown(groups.popularity), _shown(groups.people)
    decades, new = _shown(groups.decades), _shown(judged["dataflix"].new_people)
    found = []
    if popularity:
        worst = max(popularity, key=_rmse)
        found.append(
            f"Stars are worst for films with {_count(worst.least)} ratings before: RMSE {_rmse(worst):.3f}."
        )
    if people:
        worst = max(people, key=_rmse)
        found.append(
            f"Stars are worst for people with {_count(worst.least)} ratings: RMSE {_rmse(worst):.3f}."
        )
    total = sum(one.ratings for one in groups.decades)
    if few := [_decade(one.least) for one in decades if one.ratings < _FEW_RATINGS * total]:
        found.append(
            f"Few ratings are of films released {', '.join(few)}: less than {100 * _FEW_RATINGS:g} % of the"
            " test each, so that these figures say little."
        )
    popular = judged["popularity"].by_count
    for one in new:
        ranking = _ranking(one)
        if ranking and ranking.value < popular[one.least]:
            found.append(f"After {one.least} ratings popularity ranks better for new people.")
    if unrated := int(np.count_nonzero(experiment.model.rating_counts == 0)):
        found.append(
            f"{unrated:,} films have no rating: their stars and places come from genre and year alone, or are"
            " those of an average film."
        )
    coverage = judged["dataflix"].scores.coverage or 0.0
    found += [
        f"{100 * (1 - coverage):.1f} % of the rated films are shown to nobody whose ranking was judged.",
        (
            "Only films that people chose to rate are judged: what they would have thought of others is not"
            " known, and what is popular has an advantage."
        ),
        "Fairness among groups of people (age, sex, origin) is not measured: no such data leave PostgreSQL.",
        "Whether people like the service better for it is not measured: that takes an experiment with them.",
    ]
    return found


def _shown(groups: Sequence[Group]) -> list[Group]:
    """The groups that are large enough."""
    return [one for one in groups if one.people >= FEWEST_PEOPLE]


def _ranking(group: Group) -> Estimate | None:
    """The group's nDCG@10, if enough people were ranked: those who liked a film later, who are fewer."""
    return group.ndcg_at_10 if group.ranked >= FEWEST_PEOPLE else None


def _left_out(groups: Sequence[Group]) -> str:
    count = len(groups) - len(_shown(groups))
    return f"\n\nLeft out, because they are of fewer than {FEWEST_PEOPLE} people: {count}." if count else ""


def _rmse(group: Group) -> float:
    return group.rmse.value if group.rmse else 0.0


def _count(least: int) -> str:
    """The name of a group by number of ratings."""
    after = EDGES.index(least) + 1
    if after == len(EDGES):
        return f"{least:,} or more"
    last = EDGES[after] - 1
    return f"{least}" if last == least else f"{least:,} to {last:,}"


def _decade(least: int) -> str:
    return f"{least} to {least + 9}" if least else "in an unknown year"


def _known(known: Mapping[str, float], name: str) -> str:
    if name not in known:
        return ""
    error = known.get(f"{name}_error")
    return f"{known[name]:.3f}" if error is None else _estimate(Estimate(known[name], error))


def _estimate(estimate: Estimate | None) -> str:
    return f"{estimate.value:.3f} ± {estimate.error:.3f}" if estimate else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
