// Shows one film: its title and genres, everybody's rating, and the buttons to rate it or mark it as watched.

import { byId, counted, element, titled } from "./dom.js";
import { guarded } from "./messages.js";
import { givenStars, shownStars } from "./stars.js";
import { changes, currentUser, opinionOf, rate, watch } from "./store.js";

/** A list item of a film; `more` goes below its genres. It follows the user's ratings until it is removed. */
export function filmItem(film, ...more) {
  const controls = opinionControls(film);
  const item = element(
    "li",
    { className: "film", attributes: { "data-film": String(film.movie_id) } },
    poster(film),
    element(
      "div",
      { className: "about" },
      element("h3", { textContent: titled(film) }),
      element("p", { className: "genres", textContent: film.genres.join(" · ") }),
      ...more,
      controls,
    ),
  );
  return item;
}

/** The mean of everybody's ratings. */
export function opinionOfAll(film) {
  if (film.rating_mean === null) return element("p", { className: "quiet mean", textContent: "not rated yet" });
  const mean = film.rating_mean.toFixed(1);
  return element(
    "p",
    { className: "mean" },
    shownStars(film.rating_mean, `${mean} of 5 stars on average`),
    ` ${mean} `,
    element("span", { className: "quiet", textContent: `by ${counted(film.rating_count, "person", "people")}` }),
  );
}

function poster(film) {
  const made = element("div", {
    className: "poster",
    textContent: [...film.title.replace(/^(The|A|An) /, "")][0],
    attributes: { "aria-hidden": "true" },
  });
  made.style.setProperty("--hue", String(hue(film.genres.join() || film.title)));
  return made;
}

/** The same colour for the same word. */
function hue(word) {
  let sum = 7;
  for (const letter of word) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

function opinionControls(film) {
  const name = titled(film);
  const seen = element("button", { type: "button", className: "seen", textContent: "Watched", attributes: { "aria-label": `Watched: ${name}` } });
  const stars = givenStars(name, (given) => act(film, () => rate(film.movie_id, given), refresh));
  seen.addEventListener("click", () => {
    const watched = opinionOf(film.movie_id) !== undefined;
    act(film, () => watch(film.movie_id, !watched), refresh);
  });

  function refresh() {
    const opinion = opinionOf(film.movie_id);
    seen.setAttribute("aria-pressed", String(opinion !== undefined));
    stars.show(opinion ?? 0);
  }
  const box = element("div", { className: "controls" }, stars.box, seen);
  refresh();
  const follow = (event) => {
    if (!box.isConnected) changes.removeEventListener("opinion", follow);
    else if (event.detail === null || event.detail === film.movie_id) refresh();
  };
  changes.addEventListener("opinion", follow);
  return box;
}

/** Do what the user wants, or have a user chosen first; then show the film's true state, also after a failure. */
async function act(film, work, refresh) {
  if (!currentUser()) {
    refresh();
    byId("who").click();
    return;
  }
  await guarded("opinion", work);
  refresh();
}
