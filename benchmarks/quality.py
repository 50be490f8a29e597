"""How good recommendations are on a MovieLens release, by the product's own protocol, all in one run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from threadpoolctl import threadpool_limits

from dataflix_backend.recommendations.recommend import NEW_EVERY
from dataflix_recommender import rank
from dataflix_training.evaluation import holdout_users
from dataflix_training.experiment import TEST_SHARE, fit_recipe, run_experiment
from dataflix_training.film_features import Film
from dataflix_training.fitting import Recipe
from dataflix_training.model_card import render
from dataflix_training.promotion_gate import decide
from dataflix_training.ratings import Ratings, split_latest
from dataflix_training.scores import SHOWN, Judgement, ranking_scores
from figures import report
from support.ratings import movielens_films, movielens_ratings

_INTRODUCTION = """\
For whoever decides whether Dataflix' recommendations are good enough for a purpose, or wants to know where
they are weak. This is the card of a training on MovieLens {}, written by
`benchmarks/quality.py --card docs/model-card.md`. Every training writes one of its own data into its run in
MLflow, as `model_card.md`, and the description of the version there names the run. [figures.md](figures.md)
compares the model with other settings."""


def main(
    folder: Annotated[Path, typer.Argument(help="With ratings.csv and movies.csv.")],
    with_spark: Annotated[
        bool, typer.Option("--spark", help="Train on Spark too, in two threads of this machine.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    card: Annotated[
        Path | None, typer.Option(help="Write the model's card here (docs/model-card.md).")
    ] = None,
) -> None:
    """Train with the SVD's stars and with those that validation chooses, and judge both on the same test."""
    ratings, films = movielens_ratings(folder), movielens_films(folder)
    with threadpool_limits(1):
        pinned = run_experiment(ratings, films=films, pin_svd=True)
        chosen = run_experiment(ratings, films=films)
        with_new = _with_new_films(ratings, chosen.recipe, films)
    report("stars of the SVD", _figures(pinned.judgements["dataflix"]), as_json=as_json)
    report(
        f"stars of {chosen.recipe.stars}, chosen", _figures(chosen.judgements["dataflix"]), as_json=as_json
    )
    if with_spark:
        from dataflix_training.spark import spark  # noqa: PLC0415 - Java: seconds

        began = time.monotonic()
        with threadpool_limits(1), spark("local[2]", "") as factorise:
            als = run_experiment(ratings, films=films, factorise=factorise)
        seconds = {"seconds": time.monotonic() - began}
        report("stars of ALS on Spark", _figures(als.judgements["dataflix"]) | seconds, as_json=as_json)
    report("the same, one place of ten for films without ratings", with_new, as_json=as_json)
    for name in ("surprise_svd", "popularity", "global_mean"):
        report(name, _figures(chosen.judgements[name]), as_json=as_json)
    if card:
        decision = decide(chosen.judgements["dataflix"], len(ratings), chosen.judgements, None)
        text = render(
            chosen, ratings, f"MovieLens {folder.name}", decision, _INTRODUCTION.format(folder.name)
        )
        card.write_text(text, encoding="utf-8")


def _figures(judged: Judgement) -> dict[str, float]:
    """The scores, and nDCG@10 of new people after so many ratings."""
    return judged.scores.known() | {f"nDCG@10 after {n}": value for n, value in judged.by_count.items()}


def _with_new_films(ratings: Ratings, recipe: Recipe, films: dict[int, Film]) -> dict[str, float]:
    """What replies are worth that show films without ratings."""
    rest, test = split_latest(ratings, TEST_SHARE)
    _, model = fit_recipe(rest, recipe, films)
    holdout = holdout_users(rest, test)
    shown = [
        rank(model, model.profile(user), SHOWN, new_every=NEW_EVERY).item_ids
        for user in holdout.user_ids.tolist()
    ]
    ranked = ranking_scores(shown, holdout.liked, len(holdout.catalogue))
    return {"ndcg_at_10": ranked.gains.estimate().value, "coverage": ranked.coverage}


if __name__ == "__main__":
    typer.run(main)
