// Draws stars: those of a rating that is only shown, and those by which the user rates. The latter have a slider,
// which keyboards and screen readers can use.

import { calmed, element } from "./dom.js";

const KEYS_CALM = 700;

/** Stars that are only shown. */
export function shownStars(stars, label) {
  const made = element("span", { className: "stars", attributes: { role: "img", "aria-label": label } });
  fill(made, stars);
  return made;
}

/** Stars to rate with: they call `give(stars)` with 0.5 to 5, or with 0 to delete the rating. `show(stars)` sets them. */
export function givenStars(title, give) {
  const look = element("span", { className: "stars", attributes: { "aria-hidden": "true" } });
  const input = element("input", {
    type: "range",
    min: "0",
    max: "5",
    step: "0.5",
    attributes: { "aria-label": `Your stars for ${title}` },
  });
  const text = element("output", { className: "given" });
  const box = element("span", { className: "rate" }, look, input, text);
  let settled = 0;

  function show(stars) {
    settled = stars;
    preview(stars);
    input.value = String(stars);
  }
  function preview(stars) {
    fill(look, stars);
    input.setAttribute("aria-valuetext", stars ? `${stars} of 5 stars` : "not rated");
    text.textContent = stars ? stars.toFixed(1) : "";
  }
  function commit(stars) {
    if (stars !== settled) give(stars);
  }
  const commitKeys = calmed(KEYS_CALM, () => commit(Number(input.value)));
  input.addEventListener("input", () => {
    preview(Number(input.value));
    commitKeys();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") commit(Number(input.value));
  });
  // the pointer chooses the half star that it is over; the slider's own track would be less exact
  look.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse") preview(under(event, look));
  });
  look.addEventListener("pointerleave", () => preview(settled));
  look.addEventListener("click", (event) => {
    input.focus({ preventScroll: true });
    const stars = under(event, look);
    input.value = String(stars === settled ? 0 : stars);
    preview(Number(input.value));
    commit(Number(input.value));
  });
  show(0);
  return { box, show };
}

function under(event, look) {
  const { left, width } = look.getBoundingClientRect();
  return Math.min(Math.max(Math.ceil(((event.clientX - left) / width) * 10), 1), 10) / 2;
}

function fill(look, stars) {
  look.style.setProperty("--fill", `${Math.min(Math.max(stars, 0), 5) * 20}%`);
}
