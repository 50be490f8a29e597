// Makes elements without writing HTML, so that values from the API are always shown as text.

/** An element with properties, attributes (`attributes`), and children: elements, or text. */
export function element(name, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** A title with its year. */
export const titled = (film) => (film.release_year ? `${film.title} (${film.release_year})` : film.title);

/** A function that runs `work` once there have been no further calls for so many milliseconds. */
export function calmed(milliseconds, work) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}

const steps = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [365, "day"],
  [Infinity, "year"],
];
const told = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** How long ago a moment was, in words. */
export function ago(moment, now = Date.now()) {
  let amount = (new Date(moment) - now) / 1000;
  for (const [size, unit] of steps) {
    if (Math.abs(amount) < size) return told.format(Math.round(amount), unit);
    amount /= size;
  }
  return "";
}

/** A whole number with separated thousands, and the noun in singular or plural. */
export const counted = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
