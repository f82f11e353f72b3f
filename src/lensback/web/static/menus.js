// The menus of the cards close as menus do: by Escape, with the focus back where it was, and by a tap beside them.
"use strict";

(() => {
  const opened = () => document.querySelector("details.more[open]");

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && opened();
    if (!menu) return;
    menu.open = false;
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    const menu = opened();
    if (menu && !menu.contains(event.target)) menu.open = false;
  });
})();
