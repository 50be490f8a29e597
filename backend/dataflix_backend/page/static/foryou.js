// The section "For you": the user's recommendations, the films that they have watched, or those of no interest.

import { get } from "./api.js";
import { ago, byId, calmed, counted, element, titled } from "./dom.js";
import { filmItem } from "./film.js";
import { announce, guarded, insisted } from "./messages.js";
import { shownStars } from "./stars.js";
import { changes, currentUser, dismiss } from "./store.js";

const COUNT = 12;
const SETTLE = 60;
/** The lists beside the recommendations: what shows an entry, and what to say when there is none. */
const LISTS = {
  watched: { item: watchedItem, none: "Nothing yet: mark a film as watched." },
  dismissed: { item: (one) => undoItem(one.movie), none: "Nothing yet: use ✕ at a film that is recommended to you." },
};
const TABS = ["recommended", ...Object.keys(LISTS)];

let tab = "recommended";
let asked = 0;
let next = null; // where the list goes on
let undoable = null; // the film dismissed last, and its place in the list

export function startForYou() {
  for (const name of TABS) {
    byId(`show-${name}`).addEventListener("click", () => {
      tab = name;
      undoable = null;
      refresh();
    });
  }
  byId("more-picks").addEventListener("click", () => guarded("for-you", () => showList(next)));
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
  for (const name of TABS) {
    byId(`show-${name}`).setAttribute("aria-pressed", String(tab === name));
    byId(`show-${name}`).disabled = !currentUser();
  }
  byId("more-picks").hidden = true;
  if (!currentUser()) {
    byId("for-you-title").textContent = "For you";
    byId("for-you-about").textContent = "Choose who you are: recommendations follow your ratings at once.";
    return;
  }
  byId("for-you-title").textContent = currentUser().name ? `For ${currentUser().name}` : "For you";
  insisted("for-you", () => (tab in LISTS ? showList("") : showRecommended()));
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

async function showList(cursor) {
  const mine = (asked += 1);
  const { item, none } = LISTS[tab];
  const found = await get(`/users/${currentUser().user_id}/${tab}`, { limit: COUNT, cursor });
  if (mine !== asked) return;
  const items = found.items.map(item);
  if (cursor) byId("picks").append(...items);
  else replace(items);
  next = found.next;
  byId("more-picks").hidden = found.next === null;
  byId("for-you-about").textContent = found.items.length || cursor ? "The newest first." : none;
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

function watchedItem(one) {
  return filmItem(one.movie, element("p", { className: "quiet", textContent: `watched ${ago(one.watched_at)}` }));
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

/** What stands for a film that was dismissed, with a button that takes this back. */
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
  const [user, shown] = [currentUser(), tab];
  return guarded("dismissed", async () => {
    await dismiss(film.movie_id, dismissed);
    if (user !== currentUser() || tab !== shown) return;
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
