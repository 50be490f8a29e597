"""Which films are chosen when they are to be unlike each other, against a slow count of the same rule."""

from dataclasses import replace

import numpy as np
import pytest

from dataflix_recommender import Model, Ranking, candidates, diversify, rank
from dataflix_training.experiment import run_experiment
from support.ratings import synthetic_ratings
from support.recommender import small_model


@pytest.fixture(scope="module")
def trained() -> Model:
    return run_experiment(synthetic_ratings(users=300, items=200, rows=12_000)).model


def likeness(model: Model, one: int, other: int) -> float:
    """What one film says about the other, or the other about it, if that is more; nothing below 0."""
    found = [0.0]
    for source, target in ((one, other), (other, one)):
        place, wanted = model.items([source, target])
        row = slice(model.ranker_start[place], model.ranker_start[place + 1])
        found += model.ranker_weights[row][model.ranker_items[row] == wanted].tolist()
    return max(found)


def slowly(model: Model, ranking: Ranking, count: int, diversity: float) -> list[int]:
    films, scores = ranking.item_ids.tolist(), ranking.scores
    relevance = dict(zip(films, (scores - scores.min()) / (scores.max() - scores.min()), strict=True))
    highest = max(likeness(model, one, other) for one in films for other in films)
    chosen: list[int] = []
    while len(chosen) < count:
        added = {
            film: (1 - diversity) * relevance[film]
            - diversity * max((likeness(model, film, one) / highest for one in chosen), default=0.0)
            for film in films
            if film not in chosen
        }
        chosen.append(max(added, key=lambda film: added[film]))
    return chosen


@pytest.mark.parametrize("diversity", [0.1, 0.3, 0.6, 0.95])
def test_films_are_chosen_by_maximal_marginal_relevance(trained: Model, diversity: float) -> None:
    for user in trained.user_ids[:5].tolist():
        ranking = rank(trained, trained.profile(user), 30)
        found = diversify(trained, ranking, 6, diversity)
        assert found.item_ids.tolist() == slowly(trained, ranking, 6, diversity)
        scores = dict(zip(ranking.item_ids.tolist(), ranking.scores.tolist(), strict=True))
        assert found.scores.tolist() == [scores[film] for film in found.item_ids.tolist()]


def test_without_diversity_the_best_are_shown(trained: Model) -> None:
    ranking = rank(trained, trained.profile(int(trained.user_ids[0])), 30)
    assert diversify(trained, ranking, 10, 0.0).item_ids.tolist() == ranking.item_ids[:10].tolist()
    assert candidates(10, 0.0) == 10
    assert candidates(10, 0.1) == 100


def test_the_more_diversity_the_less_alike_are_the_films(trained: Model) -> None:
    def alike(diversity: float) -> float:
        total = 0.0
        for user in trained.user_ids[:50].tolist():
            ranking = rank(trained, trained.profile(user), candidates(10, diversity))
            films = diversify(trained, ranking, 10, diversity).item_ids.tolist()
            total += sum(likeness(trained, one, other) for one in films for other in films if one < other)
        return total

    found = [alike(diversity) for diversity in (0.0, 0.3, 0.6, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] / 2


def test_few_films_and_none_are_no_fault() -> None:
    model = small_model()
    ranking = Ranking(np.asarray([30, 10, 40], np.int64), np.asarray([0.9, 0.8, 0.1]))
    assert diversify(model, ranking, 10, 0.5).item_ids.tolist() == [
        30,
        40,
        10,
    ]  # 10 and 30 are as alike as can be
    nothing = Ranking(np.empty(0, np.int64), np.empty(0))
    assert diversify(model, nothing, 10, 0.5).item_ids.tolist() == []
    equal = Ranking(np.asarray([30, 40], np.int64), np.asarray([0.5, 0.5]))
    assert diversify(model, equal, 2, 0.5).item_ids.tolist() == [30, 40]


def test_films_that_nobody_has_rated_keep_their_places() -> None:
    model = replace(small_model(), rating_counts=np.asarray([1, 0, 1, 1], np.int32))
    ranking = Ranking(np.asarray([30, 20, 10, 40], np.int64), np.asarray([0.9, 0.01, 0.8, 0.1]))
    assert diversify(model, ranking, 4, 0.5).item_ids.tolist() == [30, 20, 40, 10]
    unrated = replace(small_model(), rating_counts=np.zeros(4, np.int32))
    assert diversify(unrated, ranking, 4, 0.5).item_ids.tolist() == [30, 20, 10, 40]
