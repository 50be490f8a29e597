// Focuses the terminal as soon as it shows something, so that keys go to it.
"use strict";
new MutationObserver((_, observer) => {
  if (!document.body.classList.contains("-first-byte")) return;
  observer.disconnect();
  document.querySelector(".xterm-helper-textarea").focus();
}).observe(document.documentElement, { subtree: true, attributeFilter: ["class"] });
