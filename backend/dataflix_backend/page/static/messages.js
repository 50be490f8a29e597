// Shows each problem once, and announces changes to screen readers.

import { byId, element } from "./dom.js";

const AGAIN = 5000;

const problems = new Map(); // by the key of the work that failed
const attempts = new Map();
const dismissed = new Set(); // texts of problems that stay hidden until they are solved

/** Do some work, and show the problem if it fails. Resolves to the work's value, or undefined. */
export async function guarded(key, work) {
  try {
    const value = await work();
    if (problems.delete(key)) show();
    return value;
  } catch (problem) {
    if (problem.name === "AbortError") return undefined;
    if (problem.status === undefined) console.error(problem);
    problems.set(key, problem);
    show();
    return undefined;
  }
}

/** Like `guarded`, and tries again every few seconds while the API or its database does not answer. */
export async function insisted(key, work) {
  const attempt = (attempts.get(key) ?? 0) + 1;
  attempts.set(key, attempt);
  const value = await guarded(key, work);
  const away = [0, 503].includes(problems.get(key)?.status);
  if (away) setTimeout(() => attempts.get(key) === attempt && insisted(key, work), AGAIN);
  return value;
}

export function announce(text) {
  byId("status").textContent = text;
}

/** Show the problems; one that several works have in common is shown once. */
function show() {
  const texts = new Map();
  for (const [key, problem] of problems) {
    const text = `${problem.title ?? "This page has a fault"}\n${problem.message}`;
    texts.set(text, [...(texts.get(text) ?? []), key]);
  }
  for (const text of dismissed) if (!texts.has(text)) dismissed.delete(text);
  for (const text of dismissed) texts.delete(text);
  const shown = new Map([...byId("messages").children].map((box) => [box.dataset.text, box]));
  for (const [text, box] of shown) if (!texts.has(text)) box.remove();
  for (const text of texts.keys()) if (!shown.has(text)) byId("messages").append(message(text));
}

function message(text) {
  const [title, detail] = text.split("\n");
  const dismiss = element("button", { type: "button", textContent: "Dismiss" });
  dismiss.addEventListener("click", () => {
    dismissed.add(text);
    show();
  });
  const told = element("p", {}, element("strong", { textContent: title }), " ", detail);
  return element("div", { className: "message", attributes: { "data-text": text } }, told, dismiss);
}
