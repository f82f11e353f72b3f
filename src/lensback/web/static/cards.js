// Cards: their menus close as menus do, by Escape, with the focus back where it was, and by a tap beside them; a picture
// that does not come leaves its place empty.
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
  const empty = (picture) => { picture.style.visibility = "hidden"; };
  document.addEventListener("error", (event) => { if (event.target.closest?.(".pic, .gallery, .saved")) empty(event.target); }, true);
  for (const one of document.querySelectorAll(".pic img")) if (one.complete && !one.naturalWidth && one.currentSrc) empty(one);
})();
