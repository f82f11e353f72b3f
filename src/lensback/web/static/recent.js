// Recent searches: a thumbnail, a verdict and a link to each answer, in this browser and nowhere else.
"use strict";

window.recentSearches = (() => {
  const KEY = "lensback.recent";
  const MOST = 8;

  // Whatever else stands in the storage is passed over.
  function whole(one) {
    return one && /^\/answers\/[0-9a-f]+$/.test(one.link) && /^data:image\/jpeg;base64,/.test(one.picture);
  }

  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) || "[]");
      return Array.isArray(kept) ? kept.filter(whole) : [];
    } catch { return []; }
  }

  function save(list) {
    for (let most = list.length; most >= 0; most -= 1) { // full: the oldest give way
      try { localStorage.setItem(KEY, JSON.stringify(list.slice(0, most))); return; } catch { /* or private mode */ }
    }
  }

  // A small copy of a picture as a data: address; "" where the browser cannot read it.
  function thumbnail(image, side) {
    if (!image.naturalWidth) return "";
    try {
      const scale = side / Math.max(image.naturalWidth, image.naturalHeight);
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
      canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      return canvas.toDataURL("image/jpeg", 0.7);
    } catch { return ""; }
  }

  function show() {
    const place = document.getElementById("recent");
    if (!place) return;
    const list = load();
    place.hidden = !list.length;
    place.querySelector("ul").replaceChildren(...list.map((one) => {
      const link = document.createElement("a");
      link.href = one.link;
      const picture = document.createElement("img");
      Object.assign(picture, { src: one.picture, alt: one.words, width: 72, height: 72 });
      link.append(picture);
      const item = document.createElement("li");
      item.append(link);
      return item;
    }));
  }

  function add(link, words, image) {
    const picture = thumbnail(image, 144);
    if (!picture) return;
    save([{ link, words, picture }, ...load().filter((one) => one.link !== link)].slice(0, MOST));
    show();
  }

  // The small copy of the photo of an answer, "" where this browser has none.
  function picture(link) {
    const own = load().find((one) => one.link === link);
    return own ? own.picture : "";
  }

  function forget() { save([]); show(); }

  return { add, forget, picture, show, thumbnail };
})();
