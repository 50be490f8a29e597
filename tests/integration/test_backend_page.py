"""The page in a real browser: find, rate, be recommended, look at the pipeline; and what it must not do."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from dataflix_contract import Settings
from dataflix_stack.paths import console_script
from support.browser import Watched, running_browser, watched_page
from support.waiting import wait_until

DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
SMALLEST = {"width": 320, "height": 640}
EMAIL = "page-test@example.org"
# Every text that the page shows becomes one word of 200 letters, but for the choices of a list.
LENGTHEN_EVERY_TEXT = """() => {
  document.querySelector("#faults").hidden = false;
  document.querySelector("#faults").append(Object.assign(document.createElement("li"), {textContent: "x"}));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.data.trim() || text.parentElement.closest("option, script")) continue;
    text.data = "W".repeat(200);
    count += 1;
  }
  return count;
}"""
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> & Söhne"

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def watched(browser: Browser, settings: Settings) -> Iterator[Watched]:
    with watched_page(browser, base_url=settings.backend_url, viewport=DESKTOP) as watched:
        yield watched


@pytest.fixture
def page(watched: Watched) -> Page:
    watched.page.goto("/")
    return watched.page


@pytest.fixture
def nobody(source: psycopg.Connection) -> Iterator[None]:
    """The user of these tests is not there, before and after."""
    source.execute("DELETE FROM users WHERE email = %s", [EMAIL])
    yield
    source.execute("DELETE FROM users WHERE email = %s", [EMAIL])


@pytest.fixture
def hostile_film(source: psycopg.Connection) -> Iterator[int]:
    row = source.execute(
        "INSERT INTO movies (title, release_year, genres, overview) VALUES (%s, 2001, '{Drama}', %s)"
        " RETURNING movie_id",
        [HOSTILE, HOSTILE],
    ).fetchone()
    assert row
    yield row[0]
    source.execute("DELETE FROM movies WHERE movie_id = %s", row)


@pytest.fixture
def long_ids(source: psycopg.Connection) -> Iterator[tuple[int, int]]:
    """A user and a film whose ids a JavaScript number would round."""
    user, film = -(2**53) - 1, 2**53 + 1
    source.execute("INSERT INTO users (user_id, name) VALUES (%s, 'Long Id')", [user])
    source.execute("INSERT INTO movies (movie_id, title, genres) VALUES (%s, 'Long Id', '{}')", [film])
    yield user, film
    source.execute("DELETE FROM users WHERE user_id = %s", [user])
    source.execute("DELETE FROM movies WHERE movie_id = %s", [film])


def create_user(page: Page, name: str = "Page Test") -> None:
    page.get_by_role("button", name="Choose a user").click()
    dialog = page.get_by_role("dialog", name="Who are you?")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_label("E-mail").fill(EMAIL)
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name=f"For {name}")).to_be_visible()


def title_field(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="Title")


def titles(page: Page) -> list[str]:
    """The films under "For you", in their order."""
    return page.locator("#picks h3").all_text_contents()


def ratings(source: psycopg.Connection) -> list[tuple[str, float]]:
    found = source.execute(
        "SELECT title, rating FROM ratings JOIN users USING (user_id) JOIN movies USING (movie_id)"
        " WHERE users.email = %s ORDER BY title",
        [EMAIL],
    ).fetchall()
    return [(title, float(stars)) for title, stars in found]


def dismissed(source: psycopg.Connection) -> list[str]:
    """What the user of these tests is not interested in, as the page calls it."""
    found = source.execute(
        "SELECT concat(title, ' (' || release_year || ')') FROM dismissed_movies JOIN users USING (user_id)"
        " JOIN movies USING (movie_id) WHERE users.email = %s",
        [EMAIL],
    ).fetchall()
    return sorted(title for (title,) in found)


@pytest.mark.usefixtures("nobody")
def test_somebody_new_finds_a_film_rates_it_and_is_recommended_others(
    watched: Watched, page: Page, source: psycopg.Connection
) -> None:
    create_user(page)
    expect(page.locator("#picks li").first).to_be_visible()
    title_field(page).fill("Chinatwon")
    film = page.locator("#list li", has=page.get_by_role("heading", name="Chinatown (1974)"))
    stars = film.locator(".rate .stars")
    box = wait_until(stars.bounding_box, "the film's stars are shown")
    assert box
    stars.click(position={"x": box["width"] * 0.88, "y": box["height"] / 2})  # in the fifth star's left half
    expect(film.get_by_role("slider")).to_have_value("4.5")
    expect(film.get_by_role("button", name="Watched")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#for-you-about")).to_contain_text(re.compile("1 (film|rating of yours)"))
    wait_until(lambda: ratings(source) == [("Chinatown", 4.5)], "the rating is in PostgreSQL")

    before = titles(page)
    page.locator("#picks").get_by_role("slider").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#picks")).not_to_contain_text(before[0])
    assert len(ratings(source)) == 2
    assert [stars for _, stars in ratings(source) if stars != 4.5] == [2.0]
    expect(page.get_by_role("status").first).to_contain_text("Recommendations have changed")
    assert watched.faults == []


def test_recommendations_and_reasons_are_those_of_the_api(page: Page, settings: Settings) -> None:
    page.get_by_role("button", name="Choose a user").click()
    page.locator("#names button").first.click()
    expect(page.locator("#picks li").first).to_be_visible()
    user = page.evaluate("localStorage.getItem('dataflix-user')")
    found = httpx.get(f"{settings.backend_url}/recommendations/{user}?n=12", trust_env=False).json()
    items = page.locator("#picks li")
    expect(items).to_have_count(len(found["items"]))
    for item, one in zip(items.all(), found["items"], strict=True):
        expect(item.get_by_role("heading")).to_contain_text(one["title"])
        if one["stars"] is not None:
            expect(item.locator(".predicted")).to_contain_text(f"{one['stars']:.1f} predicted")
        if titles := [reason["title"] for reason in one["reasons"]]:
            text = item.locator(".because").inner_text()
            assert text.startswith(f"because you liked {titles[0]}")
            assert all(title in text.split(" and ", 1)[-1] for title in titles[1:])


@pytest.mark.usefixtures("nobody")
def test_watched_films_are_kept_and_can_be_taken_back(page: Page, source: psycopg.Connection) -> None:
    create_user(page)
    page.locator("#list").get_by_role("button", name="Watched").first.click()
    title = page.locator("#list h3").first.text_content()
    page.get_by_role("button", name="Watched", exact=True).click()
    expect(page.locator("#picks h3")).to_have_text([title or ""])
    page.reload()
    expect(page.get_by_role("heading", name="For Page Test")).to_be_visible()
    mark = page.locator("#list").get_by_role("button", name="Watched").first
    expect(mark).to_have_attribute("aria-pressed", "true")
    mark.click()
    expect(mark).to_have_attribute("aria-pressed", "false")
    left = source.execute(
        "SELECT count(*) FROM watched_movies JOIN users USING (user_id) WHERE email = %s", [EMAIL]
    )
    assert left.fetchone() == (0,)


@pytest.mark.usefixtures("nobody")
def test_a_film_of_no_interest_makes_room_for_the_next_until_it_is_taken_back(
    watched: Watched, page: Page, source: psycopg.Connection
) -> None:
    create_user(page)
    films, undo = page.locator("#picks .film"), page.get_by_role("button", name="Undo")
    expect(films).to_have_count(12)
    before = titles(page)
    page.get_by_role("button", name=f"Not interested: {before[3]}").focus()
    page.keyboard.press("Enter")
    expect(undo).to_be_focused()
    expect(undo).to_have_accessible_name(f"Undo: not interested in {before[3]}")
    assert page.locator("#picks li").nth(3).inner_text().startswith(f"Not interested in {before[3]}")
    expect(films).to_have_count(12)
    after = titles(page)
    assert before[3] not in after
    assert set(after) >= {*before[:3], *before[4:]}
    assert dismissed(source) == [before[3]]
    assert violations(page) == []

    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Not interested: {before[3]}")).to_be_focused()
    expect(undo).to_have_count(0)
    assert titles(page) == before
    assert dismissed(source) == []

    for title in (before[0], before[1]):
        page.get_by_role("button", name=f"Not interested: {title}").click()
        expect(undo).to_have_accessible_name(f"Undo: not interested in {title}")
    assert dismissed(source) == sorted(before[:2])
    page.get_by_role("button", name="Watched", exact=True).click()
    expect(undo).to_have_count(0)
    page.get_by_role("button", name="Recommended", exact=True).click()
    expect(films).to_have_count(12)
    expect(undo).to_have_count(0)
    assert set(titles(page)).isdisjoint(before[:2])

    page.reload()
    page.get_by_role("button", name="Not interested", exact=True).click()
    expect(undo).to_have_count(2)
    expect(undo.first).to_have_accessible_name(f"Undo: not interested in {before[1]}")
    assert violations(page) == []
    undo.first.focus()
    page.keyboard.press("Enter")
    expect(undo).to_have_count(1)
    expect(undo).to_be_focused()
    assert dismissed(source) == [before[0]]
    page.keyboard.press("Enter")
    expect(page.locator("#for-you-about")).to_contain_text("Nothing yet")
    assert dismissed(source) == []
    page.get_by_role("button", name="Recommended", exact=True).click()
    expect(films).to_have_count(12)
    assert titles(page) == before
    assert watched.faults == []


@pytest.mark.usefixtures("nobody")
def test_a_film_that_could_not_be_dismissed_stays_and_the_page_says_why(page: Page) -> None:
    create_user(page)
    expect(page.locator("#picks .film")).to_have_count(12)
    before = titles(page)
    page.route("**/dismissed*", lambda route: route.abort())
    button = page.get_by_role("button", name=f"Not interested: {before[0]}")
    button.click()
    message = page.locator("#messages .message", has_text="The API does not answer")
    expect(message).to_contain_text("bin/dataflix-status")
    assert titles(page) == before
    page.unroute("**/dismissed*")
    button.click()
    expect(message).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert before[0] not in titles(page)


def test_an_id_of_many_digits_is_the_same_in_page_and_database(
    page: Page, source: psycopg.Connection, long_ids: tuple[int, int]
) -> None:
    page.get_by_role("button", name="Choose a user").click()
    page.get_by_role("dialog").get_by_label("Find by name").fill("Long Id")
    page.locator("#names button", has_text="Long Id").click()
    expect(page.get_by_role("heading", name="For Long Id")).to_be_visible()
    title_field(page).fill("Long Id")
    film = page.locator(f'#list li[data-film="{long_ids[1]}"]')
    film.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    expect(film.get_by_role("button", name="Watched")).to_have_attribute("aria-pressed", "true")
    query = "SELECT user_id, movie_id FROM ratings WHERE user_id = %s"
    wait_until(lambda: source.execute(query, [long_ids[0]]).fetchall() == [long_ids], "the rating is there")
    page.reload()
    expect(page.get_by_role("heading", name="For Long Id")).to_be_visible()
    title_field(page).fill("Long Id")
    expect(film.get_by_role("button", name="Watched")).to_have_attribute("aria-pressed", "true")


@pytest.mark.usefixtures("nobody")
def test_the_pipeline_shows_figures(watched: Watched, page: Page) -> None:
    create_user(page)
    page.locator("#list").get_by_role("button", name="Watched").first.click()
    stages = page.locator("#way-stages li")
    expect(stages).to_have_count(3)
    for text in stages.all_text_contents():
        assert re.search(r"\d+ ms$", text)
    for name in ("Changes a second", "Lag", "Dead letters", "Slot"):
        expect(page.locator("#figures > div", has_text=name).locator("b")).to_contain_text(
            re.compile(r"\d|read")
        )
    links = page.get_by_role("navigation", name="Pages of the other servers").get_by_role("link")
    expect(links).to_have_count(5)
    assert watched.faults == []


def test_the_live_view_can_be_stopped(watched: Watched) -> None:
    asked: list[str] = []
    page = watched.page
    page.clock.install()
    page.goto("/")
    expect(page.locator("#figures > div").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.on("request", lambda request: asked.append(request.url) if "/pipeline" in request.url else None)
    page.clock.run_for(60_000)
    assert asked == []
    page.get_by_role("button", name="Paused").click()
    with page.expect_request("**/pipeline"):
        pass


def test_what_is_in_the_database_is_text(watched: Watched, page: Page, hostile_film: int) -> None:
    title_field(page).fill("onerror Söhne")
    film = page.locator(f'#list li[data-film="{hostile_film}"]')
    expect(film.get_by_role("heading")).to_have_text(f"{HOSTILE} (2001)")
    expect(film.locator("img")).to_have_count(0)
    assert page.title() == "Dataflix"
    assert watched.faults == []


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_everybody_can_use_it(
    browser: Browser, settings: Settings, viewport: dict[str, int], scheme: str
) -> None:
    options = {"viewport": viewport, "color_scheme": scheme, "reduced_motion": "reduce"}
    with watched_page(browser, base_url=settings.backend_url, **options) as watched:
        page = watched.page
        page.goto("/")
        page.get_by_role("button", name="Choose a user").click()
        expect(page.locator("#names button").first).to_be_visible()
        assert violations(page) == []
        page.locator("#names button").first.click()
        expect(page.locator("#picks li").first).to_be_visible()
        expect(page.locator("#list li").first).to_be_visible()
        expect(page.locator("#figures > div").first).to_be_visible()
        assert violations(page) == []
        assert watched.faults == []


def violations(page: Page) -> list[str]:
    """What axe-core finds: the rule, and the first element that breaks it."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def test_no_screen_is_too_narrow(browser: Browser, settings: Settings) -> None:
    with watched_page(browser, base_url=settings.backend_url, viewport=SMALLEST) as watched:
        watched.page.goto("/")
        expect(watched.page.locator("#list li").first).to_be_visible()
        expect(watched.page.locator("#figures > div").first).to_be_visible()
        assert width(watched.page) <= SMALLEST["width"]


@pytest.mark.usefixtures("nobody")
def test_no_word_is_too_long_for_a_small_screen(browser: Browser, settings: Settings) -> None:
    with watched_page(browser, base_url=settings.backend_url, viewport=SMALLEST) as watched:
        watched.page.goto("/")
        create_user(watched.page)
        expect(watched.page.locator("#picks li").first).to_be_visible()
        expect(watched.page.locator("#list li").first).to_be_visible()
        expect(watched.page.locator("#figures > div").first).to_be_visible()
        assert watched.page.evaluate(LENGTHEN_EVERY_TEXT) > 50
        assert width(watched.page) <= SMALLEST["width"]


def width(page: Page) -> int:
    """Of all there is to scroll to, in CSS pixels."""
    return int(page.evaluate("document.documentElement.scrollWidth"))


def test_the_keyboard_reaches_the_films_first(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the films")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(title_field(page)).to_be_focused()


@pytest.mark.usefixtures("nobody")
def test_a_refusal_says_which_field_and_why(page: Page) -> None:
    create_user(page)
    page.get_by_role("button", name="Page Test").click()
    dialog = page.get_by_role("dialog", name="Who are you?")
    dialog.get_by_label("Name", exact=True).fill("Somebody Else")
    dialog.get_by_label("E-mail").fill(EMAIL)
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("e-mail")
    dialog.get_by_label("E-mail").fill("no address")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_label("E-mail")).to_have_attribute("aria-invalid", "true")


def test_an_api_that_is_away_is_told_and_forgotten_when_it_is_back(page: Page) -> None:
    expect(page.locator("#list li").first).to_be_visible()
    page.route("**/movies*", lambda route: route.abort())
    title_field(page).fill("toy")
    message = page.locator("#messages .message", has_text="The API does not answer")
    expect(message).to_contain_text("bin/dataflix-status")
    page.unroute("**/movies*")
    expect(message).to_have_count(0)
    expect(page.locator("#list h3").first).to_contain_text("Toy Story")


@pytest.mark.usefixtures("settings")
def test_the_token_is_asked_for_where_there_is_one(browser: Browser, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "DATAFLIX_BACKEND_PORT": str(port),
        "DATAFLIX_BACKEND_TOKEN": "open-sesame",
        "DATAFLIX_BACKEND_WORKERS": "1",
        "DATAFLIX_DATA_DIR": str(tmp_path),
    }
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [console_script("dataflix-backend")], env=os.environ | own, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: answers(address), "the backend answers")
        with watched_page(browser, base_url=address, viewport=DESKTOP) as watched:
            watched.page.goto("/")
            dialog = watched.page.get_by_role("dialog", name="This API asks for a token")
            for token in ("a guess", "open-sesame"):
                dialog.get_by_label("Token").fill(token)
                dialog.get_by_role("button", name="Use it").click()
                if token == "a guess":
                    expect(dialog.get_by_role("alert")).to_have_text("This token is wrong.")
            expect(watched.page.locator("#list li").first).to_be_visible()
            expect(dialog).to_be_hidden()
    finally:
        server.terminate()
        server.wait(30)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_files_are_kept_and_nothing_may_come_from_elsewhere(settings: Settings) -> None:
    with httpx.Client(base_url=settings.backend_url, trust_env=False) as client:
        answer = client.get("/")
        assert "'unsafe" not in answer.headers["Content-Security-Policy"]
        addresses = re.findall(r'(?:src|href)="(/page/[^"]+)"', answer.text)
        assert len(addresses) >= 3
        for address in addresses:
            assert "immutable" in client.get(address).raise_for_status().headers["Cache-Control"]
        assert "http://" not in answer.text
        assert "https://" not in answer.text


def test_every_part_of_the_pipeline_answers(settings: Settings) -> None:
    def complete() -> dict[str, Any] | None:
        view: dict[str, Any] = httpx.get(
            f"{settings.backend_url}/pipeline", trust_env=False, timeout=30
        ).json()
        return None if view["faults"] else view

    view = wait_until(complete, "every server has answered", every=1)
    assert view
    assert view["events_per_second"] >= 0
    assert set(view["lag"]) >= {"masker", "clickhouse-raw-ratings"}
    assert view["slot"]["active"] is True
    assert view["links"]["kafka_ui"] == settings.kafka_ui_url
