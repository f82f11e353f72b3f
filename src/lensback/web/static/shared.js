// The photo of a shared answer: the copy behind the # of the link, which never reaches the server, or the one
// that this browser kept of its own search.
"use strict";

(() => {
  const at = (id) => document.getElementById(id);
  // In another language the link is the same one: what stands behind the # goes with it.
  for (const link of document.querySelectorAll("[data-language]")) link.hash = location.hash;
  const said = /^#photo=(data:image\/jpeg;base64,[A-Za-z0-9+/=]{1,20000})$/.exec(decoded(location.hash));
  const kept = () => window.recentSearches.picture(location.pathname);
  show(said ? said[1] : kept(), said ? kept() : "");

  // A picture, or the next one where it is none.
  function show(picture, next) {
    at("with").hidden = !picture;
    at("without").hidden = Boolean(picture);
    if (!picture) return;
    at("photo-of").onerror = () => show(next, "");
    at("photo-of").src = picture;
  }

  // Whoever passes a link on may cut it or write it anew: what cannot be decoded says nothing.
  function decoded(text) {
    try { return decodeURIComponent(text); } catch { return ""; }
  }
})();
