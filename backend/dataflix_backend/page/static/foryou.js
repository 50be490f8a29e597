// The section "For you": the user's recommendations, or the films that they have watched.

import { get } from "./api.js";
import { ago, byId, calmed, counted, element, titled } from "./dom.js";
import { filmItem } from "./film.js";
import { announce, guarded, insisted } from "./messages.js";
import { shownStars } from "./stars.js";
import { changes, currentUser } from "./store.js";

const COUNT = 12;
const SETTLE = 60;

let tab = "recommended";
let asked = 0;
let nextWatched = null;

export function startForYou() {
  for (const name of ["recommended", "watched"]) {
    byId(`show-${name}`).addEventListener("click", () => {
      tab = name;
      refresh();
    });
  }
  byId("more-watched").addEventListener("click", () => guarded("for-you", () => showWatched(nextWatched)));
  changes.addEventListener("user", () => {
    byId("picks").replaceChildren();
    refresh();
  });
  const soon = calmed(SETTLE, () => refresh());
  changes.addEventListener("opinion", (event) => {
    if (event.detail !== null) soon();
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
  const items = found.items.map((one) => filmItem(one, predicted(one), reason(one), unrated(one)));
  const fresh = items.filter((item) => before.size && !before.has(item.dataset.film));
  for (const item of fresh) item.classList.add("new");
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
  const control = focused?.matches("button") ? "button" : "input";
  picks.replaceChildren(...items);
  if (focused) (items.find((item) => item.dataset.film === film) ?? items[0])?.querySelector(control).focus({ preventScroll: true });
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
