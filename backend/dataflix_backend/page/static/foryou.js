// The section "For you": the user's recommendations, or the films that they have watched.

import { get } from "./api.js";
import { ago, byId, calmed, counted, element, titled } from "./dom.js";
import { filmItem } from "./film.js";
import { announce, guarded, insisted } from "./messages.js";
import { shownStars } from "./stars.js";
import { changes, currentUser, dismiss } from "./store.js";

const COUNT = 12;
const SETTLE = 60;

let tab = "recommended";
let asked = 0;
let nextWatched = null;
let undoable = null; // the film dismissed last, and its place in the list

export function startForYou() {
  for (const name of ["recommended", "watched"]) {
    byId(`show-${name}`).addEventListener("click", () => {
      tab = name;
      undoable = null;
      refresh();
    });
  }
  byId("more-watched").addEventListener("click", () => guarded("for-you", () => showWatched(nextWatched)));
  changes.addEventListener("user", () => {
    byId("picks").replaceChildren();
    undoable = null;
    refresh();
  });
  const soon = calmed(SETTLE, () => refresh());
  changes.addEventListener("opinion", (event) => {
    if (event.detail === null) return;
    undoable = null;
    soon();
  });
  refresh();
}

function refresh() {
  for (const name of ["recommended", "watched"]) {
    byId(`show-${name}`).setAttribute("aria-pressed", String(tab === name));
    byId(`show-${name}`).disabled = !currentUser();
  }
  byId("more-watched").hidden = true;
  if (!currentUser()) {
    byId("for-you-title").textContent = "For you";
    byId("for-you-about").textContent = "Choose who you are: recommendations follow your ratings at once.";
    return;
  }
  byId("for-you-title").textContent = currentUser().name ? `For ${currentUser().name}` : "For you";
  insisted("for-you", () => (tab === "recommended" ? showRecommended() : showWatched("")));
}

async function showRecommended() {
  const mine = (asked += 1);
  const found = await get(`/recommendations/${currentUser().user_id}`, { n: COUNT });
  if (mine !== asked) return;
  const before = new Set([...byId("picks").children].map((item) => item.dataset.film));
  const items = found.items.map((one) => recommendedItem(one));
  const fresh = items.filter((item) => before.size && !before.has(item.dataset.film));
  for (const item of fresh) item.classList.add("new");
  if (undoable) items.splice(undoable.place, 0, undoItem(undoable.film));
  replace(items);
  byId("for-you-about").textContent = basis(found);
  announce(fresh.length ? `Recommendations have changed: ${counted(fresh.length, "new film")}.` : "");
}

async function showWatched(cursor) {
  const mine = (asked += 1);
  const found = await get(`/users/${currentUser().user_id}/watched`, { limit: COUNT, cursor });
  if (mine !== asked) return;
  const items = found.items.map((one) =>
    filmItem(one.movie, element("p", { className: "quiet", textContent: `watched ${ago(one.watched_at)}` })),
  );
  if (cursor) byId("picks").append(...items);
  else replace(items);
  nextWatched = found.next;
  byId("more-watched").hidden = found.next === null;
  byId("for-you-about").textContent = found.items.length || cursor ? "The newest first." : "Nothing yet: mark a film as watched.";
}

/** Replace the items, and keep the keyboard's focus on the same film, or else on the first one. */
function replace(items) {
  const picks = byId("picks");
  const focused = picks.contains(document.activeElement) ? document.activeElement : null;
  const film = focused?.closest("li").dataset.film;
  const control = ["input", ".seen", ".dismiss"].find((one) => focused?.matches(one));
  picks.replaceChildren(...items);
  if (control) (items.find((item) => item.dataset.film === film) ?? items[0])?.querySelector(control).focus({ preventScroll: true });
}

function recommendedItem(one) {
  const item = filmItem(one, predicted(one), reason(one), unrated(one));
  const button = element("button", {
    type: "button",
    className: "dismiss",
    title: "Not interested",
    attributes: { "aria-label": `Not interested: ${titled(one)}` },
  });
  button.addEventListener("click", () => {
    const place = [...byId("picks").querySelectorAll(".film")].indexOf(item);
    setDismissed(one, true, { film: one, place });
  });
  item.append(button);
  return item;
}

/** What stands in the place of a film that was just dismissed. */
function undoItem(film) {
  const button = element("button", {
    type: "button",
    className: "dismiss",
    textContent: "Undo",
    attributes: { "aria-label": `Undo: not interested in ${titled(film)}` },
  });
  button.addEventListener("click", () => setDismissed(film, false, null));
  const text = element("p", {}, "Not interested in ", element("em", { textContent: titled(film) }));
  return element("li", { className: "dismissed", attributes: { "data-film": String(film.movie_id) } }, text, button);
}

/** Dismiss a film or take that back; then show the list, and what can be taken back now. */
function setDismissed(film, dismissed, undo) {
  const user = currentUser();
  return guarded("dismissed", async () => {
    await dismiss(film.movie_id, dismissed);
    if (user !== currentUser() || tab !== "recommended") return;
    undoable = undo;
    refresh();
  });
}

function predicted(one) {
  if (one.stars === null) return null;
  const stars = one.stars.toFixed(1);
  return element(
    "p",
    { className: "mean predicted" },
    shownStars(one.stars, `${stars} of 5 stars predicted for you`),
    ` ${stars} `,
    element("span", { className: "quiet", textContent: "predicted" }),
  );
}

function reason({ reasons }) {
  if (!reasons.length) return null;
  const [first, ...second] = reasons.map((one) => element("em", { textContent: titled(one) }));
  return element("p", { className: "because" }, "because you liked ", first, ...second.flatMap((one) => [" and ", one]));
}

function unrated({ new: isNew }) {
  return isNew ? element("p", { className: "because", textContent: "nobody has rated it yet" }) : null;
}

/** A sentence that says which ratings and which model a reply is based on. */
function basis({ based_on: { ratings, fresh_ratings: fresh }, strategy, model }) {
  const kind =
    strategy === "popular"
      ? `What most people like: you have rated ${counted(ratings, "film")}`
      : `From ${counted(ratings, "rating")} of yours`;
  const newer = fresh && model ? `, ${fresh.toLocaleString("en")} newer than the model` : "";
  const by = model ? `. Model ${model.version}, trained ${ago(model.trained_at)}${model.source === "disk" ? ", from disk" : ""}.` : ". There is no model of these films yet.";
  return `${kind}${newer}${by}`;
}
