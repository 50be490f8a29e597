"""Splitting MovieLens titles."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflix_postgres.movielens.records import split_title


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
        ("(500) Days of Summer (2009)", "(500) Days of Summer", 2009),
        ("Seven (a.k.a. Se7en) (1995)", "Seven (a.k.a. Se7en)", 1995),
        ("Hip Hop Witch, Da (2000)", "Da Hip Hop Witch", 2000),
        ("Mother (Mat, (aka Sister, The))", "Mother (Mat, (aka The Sister))", None),
        ("(a (b), The", "The (a (b)", None),
    ],
)  # fmt: skip
def test_titles(text: str, title: str, year: int | None) -> None:
    assert split_title(text) == (title, year)


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Mr. Holland's Opus (1995) (V)", "Mr. Holland's Opus", 1995),
        ("Boot, Das (1981) (TV) (V)", "Das Boot", 1981),
        ("2 Days in the Valley (1996) (TV)", "2 Days in the Valley", 1996),
        ("Langoliers, The (1995) (TV)", "The Langoliers", 1995),
        ("Skokie (1981", "Skokie", 1981),
        ("96 Airborne (2009\u2013 )", "96 Airborne", 2009),
        ("Hamlet (1996/II)", "Hamlet", 1996),
        ("Something (V)", "Something (V)", None),
    ],
)
def test_a_medium_behind_the_year_hides_it_not(text: str, title: str, year: int | None) -> None:
    assert split_title(text) == (title, year)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Human Centipede II (Full Sequence), The (2011)", "The Human Centipede II (Full Sequence)"),
        ("Lift, De (1983)", "De Lift"),
        ("Fugitive, The (T\u00f4b\u00f4sha, O) (1993)", "The Fugitive (O T\u00f4b\u00f4sha)"),
        ("Cit\u00e9 des enfants perdus, La", "La Cit\u00e9 des enfants perdus"),
        ("Avventura, L' (1960)", "L'Avventura"),
        (
            "Vitelloni, I (a.k.a. The Young and the Passionate)",
            "I Vitelloni (a.k.a. The Young and the Passionate)",
        ),
        ("Passion of Anna, The (Passion, En)", "The Passion of Anna (En Passion)"),
        ("Green Butchers, The (Gr\u00f8nne slagtere, De)", "The Green Butchers (De Gr\u00f8nne slagtere)"),
        ("Black Sabbath (Tre volti della paura, I)", "Black Sabbath (I Tre volti della paura)"),
        ("Blechtrommel, Die", "Die Blechtrommel"),
        ("Imposible, Lo", "Lo Imposible"),
        ("Lion King, the (1994)", "The Lion King"),
    ],
)
def test_articles_of_every_language_are_turned_round(text: str, title: str) -> None:
    assert split_title(text)[0] == title


@pytest.mark.parametrize(
    "text",
    [
        *("Me, Myself, I", "Live, Love, Die", "Lust, Caution (Se, jie)", "I, Tonya", "L'Avventura"),
        *("Steamboat Bill, Jr.", "Scotland, Pa.", "Tinker, Tailor, Soldier, Spy", "Oh, God!", "Lo", "A"),
        *("I Love You, Man", "Dana Carvey: Straight White Male, 60", "Die, Monster, Die!"),
    ],
)
def test_words_that_only_look_like_moved_articles_stay(text: str) -> None:
    assert split_title(text) == (text, None)


@pytest.mark.parametrize("text", ["(" * 4000, "(" * 2000 + ")" * 2000, "a, " * 1300 + "The", "x," * 2000])
def test_titles_without_sense_are_split_in_reasonable_time(text: str) -> None:
    started = time.process_time()
    assert split_title(text)[0]
    assert time.process_time() - started < 1


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
