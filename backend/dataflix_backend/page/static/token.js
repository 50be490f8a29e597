// Asks the user for the API's token when the API requires one.

import { onTokenWanted, setToken } from "./api.js";
import { byId } from "./dom.js";

let asking = null;
let refused = false;

/** A user who closes the dialog without an answer is not asked again until the page is loaded again. */
export function startToken() {
  onTokenWanted(async (wrong) => {
    if (refused) return false;
    asking ??= ask(wrong);
    const given = await asking;
    asking = null;
    refused = !given;
    return given;
  });
}

/** Open the dialog; resolves to whether there is a token to try. */
function ask(wrong) {
  const dialog = byId("token");
  const form = byId("token-form");
  byId("token-fault").textContent = wrong ? "This token is wrong." : "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      setToken(form.elements.token.value.trim());
      form.reset();
      dialog.close("given");
    };
    dialog.onclose = () => resolve(dialog.returnValue === "given");
  });
}
