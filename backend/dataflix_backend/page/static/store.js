// The page's state: the current user, and the films that they have watched and rated.

import { get, post, remove } from "./api.js";

const REMEMBERED = "dataflix-user";
const MOST_PAGES = 40;

/** Sends the event `user` when the current user changes, and `opinion` when their films or ratings do. */
export const changes = new EventTarget();

let user = null;
let opinions = new Map(); // by film: its rating, or null if it was only watched

export const currentUser = () => user;
export const opinionOf = (film) => opinions.get(film);

/** Set the current user; null: none. */
export function enter(somebody) {
  user = somebody;
  opinions = new Map();
  if (somebody) localStorage.setItem(REMEMBERED, String(somebody.user_id));
  else localStorage.removeItem(REMEMBERED);
  changes.dispatchEvent(new CustomEvent("user"));
}

/** Make the user of the last visit the current one, if they still exist. */
export async function enterAgain() {
  const id = localStorage.getItem(REMEMBERED);
  if (!/^-?\d+$/.test(id ?? "")) return;
  try {
    enter(await get(`/users/${id}`));
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    localStorage.removeItem(REMEMBERED);
  }
}

/** Load the list of films that the user has watched, a page at a time. */
export async function loadOpinions() {
  const whose = user;
  let cursor = "";
  for (let page = 0; whose && cursor !== null && page < MOST_PAGES; page += 1) {
    const found = await get(`/users/${whose.user_id}/watched`, { limit: 100, cursor });
    if (whose !== user) return;
    for (const one of found.items) opinions.set(one.movie.movie_id, one.rating);
    cursor = found.next;
  }
  tell(null);
}

export async function rate(film, stars) {
  if (stars > 0) await post("/ratings", { user_id: user.user_id, movie_id: film, rating: stars });
  else await remove(`/ratings/${user.user_id}/${film}`);
  opinions.set(film, stars > 0 ? stars : null);
  tell(film);
}

export async function watch(film, watched) {
  if (watched) await post("/watched", { user_id: user.user_id, movie_id: film });
  else await remove(`/watched/${user.user_id}/${film}`);
  if (watched) opinions.set(film, null);
  else opinions.delete(film);
  tell(film);
}

/** Dismiss a film, which is then no longer recommended to the user; with `false`, take that back. */
export async function dismiss(film, dismissed) {
  if (dismissed) await post("/dismissed", { user_id: user.user_id, movie_id: film });
  else await remove(`/dismissed/${user.user_id}/${film}`);
}

/** Send the event `opinion`; `film` is the one that changed, null if all may have. */
function tell(film) {
  changes.dispatchEvent(new CustomEvent("opinion", { detail: film }));
}
