// What went wrong, said once; and what changed, said to those who cannot see it.

import { byId, element } from "./dom.js";

/** Show a problem until it is dismissed or solved; `key` replaces what was said of the same thing. */
export function tell(problem, key = "general") {
  if (problem.name === "AbortError") return;
  solved(key);
  const dismiss = element("button", { type: "button", textContent: "Dismiss" });
  const box = element(
    "div",
    { className: "message", attributes: { "data-key": key } },
    element("p", {}, element("strong", { textContent: problem.title ?? "This page has a fault" }), " ", problem.message),
    dismiss,
  );
  dismiss.addEventListener("click", () => box.remove());
  byId("messages").append(box);
  if (problem.status === undefined) console.error(problem);
}

/** Take away what was said of this. */
export function solved(key) {
  for (const box of byId("messages").children) if (box.dataset.key === key) box.remove();
}

/** Do something; tell what goes wrong with it. Resolves to its value, or undefined. */
export async function guarded(key, work) {
  try {
    const value = await work();
    solved(key);
    return value;
  } catch (problem) {
    tell(problem, key);
    return undefined;
  }
}

export function announce(text) {
  byId("status").textContent = text;
}
