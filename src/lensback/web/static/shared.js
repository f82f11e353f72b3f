// The photo of a shared answer: the copy behind the # of the link, which never reaches the server, or the one
// that this browser kept of its own search.
"use strict";

(() => {
  const said = /^#photo=(data:image\/jpeg;base64,[A-Za-z0-9+/=]{1,20000})$/.exec(decodeURIComponent(location.hash));
  const picture = said ? said[1] : window.recentSearches.picture(location.pathname);
  if (!picture) return;
  document.getElementById("photo-of").src = picture;
  document.getElementById("with").hidden = false;
  document.getElementById("without").hidden = true;
})();
