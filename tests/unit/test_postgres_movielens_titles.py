"""Splitting MovieLens titles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_postgres.movielens.titles import split_title


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Heat (1995)", "Heat", 1995),
        ("Lion King, The (1994)", "The Lion King", 1994),
        ("Angst  (1983)", "Angst", 1983),
        ("Runaway Brain (1995) ", "Runaway Brain", 1995),
        ("Death Note: Desu nôto (2006\u20132007)", "Death Note: Desu nôto", 2006),
        ("Fawlty Towers (1975-1979)", "Fawlty Towers", 1975),
        ("Big Bang Theory, The (2007-)", "The Big Bang Theory", 2007),
        ("Babylon 5", "Babylon 5", None),
        ("Moonlight", "Moonlight", None),
        ("(2006)", "(2006)", None),
        ("1984 (1984)", "1984", 1984),
        ("Room (9999)", "Room (9999)", None),
        ("unknown", "unknown", None),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey", 1968),
        ("American President, The (1995)", "The American President", 1995),
        ("Misérables, Les (1995)", "Les Misérables", 1995),
        ("Avventura, L' (Adventure, The) (1960)", "L'Avventura (The Adventure)", 1960),
        ("City of Lost Children, The (Cité des enfants perdus, La) (1995)",
         "The City of Lost Children (La Cité des enfants perdus)", 1995),
        ("Good, the Bad and the Ugly, The (Buono, il brutto, il cattivo, Il) (1966)",
         "The Good, the Bad and the Ugly (Il Buono, il brutto, il cattivo)", 1966),
        ("Shanghai Triad (a.k.a. Girl, The) (1995)", "Shanghai Triad (a.k.a. The Girl)", 1995),
        ("I, Tonya (2017)", "I, Tonya", 2017),
        ("Cook the Thief His Wife & Her Lover, The (1989)", "The Cook the Thief His Wife & Her Lover", 1989),
    ],
)  # fmt: skip
def test_titles(text: str, title: str, year: int | None) -> None:
    assert split_title(text) == (title, year)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="(),"), min_size=1),
       st.integers(1870, 2200))  # fmt: skip
def test_a_plain_title_and_its_year_come_apart_again(title: str, year: int) -> None:
    words = " ".join(title.split())
    expected = (words, year) if words else (f"({year})", None)
    assert split_title(f"{words} ({year})") == expected


@given(st.text())
def test_any_text_gives_a_title_and_a_year_within_bounds(text: str) -> None:
    title, year = split_title(text)
    assert year is None or 1870 <= year <= 2200
    assert bool(title) == bool(text.split())
