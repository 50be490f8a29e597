// The list of films: searches while the user types, and loads further pages.

import { get } from "./api.js";
import { byId, calmed, counted, element } from "./dom.js";
import { filmItem, opinionOfAll } from "./film.js";
import { insisted } from "./messages.js";

const TYPING_CALM = 200;
const PAGE = 24;

let looking = new AbortController();
let next = null;

export function startFilms() {
  const finder = byId("finder");
  finder.addEventListener("submit", (event) => event.preventDefault());
  finder.q.addEventListener("input", () => {
    // a text is sorted by how well it matches, unless the user has chosen another order
    if (finder.sort.value === "" || finder.sort.value === "popular") finder.sort.value = finder.q.value ? "" : "popular";
  });
  finder.addEventListener("input", calmed(TYPING_CALM, () => look()));
  byId("more-films").addEventListener("click", () => look(next));
  insisted("genres", listGenres);
  return look();
}

async function listGenres() {
  const { items } = await get("/genres");
  for (const { genre, movies } of items) {
    byId("finder").genre.append(new Option(`${genre} (${movies.toLocaleString("en")})`, genre));
  }
}

/** Search anew, or load the page of a cursor. */
function look(cursor = "") {
  looking.abort();
  looking = new AbortController();
  const { signal } = looking;
  return insisted("films", async () => {
    const { q, genre, sort } = byId("finder");
    const wanted = { q: q.value.trim(), genre: genre.value, sort: sort.value, limit: PAGE, cursor };
    const found = await get("/movies", wanted, signal);
    if (!signal.aborted) show(found, cursor !== "");
  });
}

function show(found, append) {
  const list = byId("list");
  const items = found.items.map((film) =>
    filmItem(film, film.overview ? element("p", { className: "overview", textContent: film.overview }) : null, opinionOfAll(film)),
  );
  if (append) list.append(...items);
  else list.replaceChildren(...items);
  next = found.next;
  byId("more-films").hidden = next === null;
  byId("found").textContent = told(list.children.length, next !== null);
  if (append) items[0]?.querySelector("input").focus();
}

function told(count, more) {
  if (!count) return "No film is called anything like that. Try fewer letters, or another genre.";
  return more ? `The first ${counted(count, "film")}` : counted(count, "film");
}
