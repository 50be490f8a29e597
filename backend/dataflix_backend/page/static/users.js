// The dialog in which the user is chosen, or a new one is made.

import { get, post } from "./api.js";
import { byId, calmed, counted, element } from "./dom.js";
import { guarded, insisted } from "./messages.js";
import { changes, currentUser, enter, enterAgain, loadOpinions } from "./store.js";

const TYPING_CALM = 150;

export async function startUsers() {
  const dialog = byId("users");
  byId("who").addEventListener("click", () => {
    dialog.showModal();
    byId("user-name").focus();
    list();
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  byId("user-name").addEventListener("input", calmed(TYPING_CALM, list));
  byId("new-user").addEventListener("submit", create);
  changes.addEventListener("user", () => {
    byId("who").textContent = currentUser() ? currentUser().name || `User ${currentUser().user_id}` : "Choose a user";
    dialog.close();
    insisted("opinions", loadOpinions);
  });
  await insisted("user", enterAgain);
}

function list() {
  return insisted("users", async () => {
    const found = await get("/users", { name: byId("user-name").value.trim(), limit: 8 });
    byId("names").replaceChildren(...found.items.map(choice));
    const more = found.next === null ? "" : ", and more: type more of the name";
    byId("names-found").textContent = found.items.length ? `${counted(found.items.length, "user")}${more}` : "Nobody is called like that.";
  });
}

function choice(user) {
  const button = element("button", { type: "button" }, user.name || "without a name", " ", element("span", { className: "quiet", textContent: `no. ${user.user_id}` }));
  button.addEventListener("click", () => guarded("user", async () => enter(await get(`/users/${user.user_id}`))));
  return element("li", {}, button);
}

async function create(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const button = form.querySelector("[type=submit]");
  byId("new-user-fault").textContent = "";
  for (const field of [form.elements.name, form.elements.email]) field.removeAttribute("aria-invalid");
  button.disabled = true;
  try {
    enter(await post("/users", { name: form.elements.name.value.trim(), email: form.elements.email.value.trim() }));
    form.reset();
  } catch (problem) {
    refuse(form, problem);
  } finally {
    button.disabled = false;
  }
}

function refuse(form, problem) {
  const wrong = Object.keys(problem.fields ?? {}).filter((name) => name in form.elements);
  for (const name of wrong) form.elements[name].setAttribute("aria-invalid", "true");
  const said = wrong.map((name) => `${name}: ${problem.fields[name].join(", ")}`).join(". ");
  byId("new-user-fault").textContent = said || problem.message;
  (form.elements[wrong[0]] ?? form.elements.email).focus();
}
