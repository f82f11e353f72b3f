// Comfort on top of a page that works without it: preview, crop, drop, paste, answers in place.
"use strict";

(() => {
  const form = document.getElementById("search");
  const answer = document.getElementById("answer");
  if (!form || !window.fetch || !window.DOMParser) return;

  const at = (id) => document.getElementById(id);
  const input = at("photo");
  const url = at("photo_url");
  const known = at("search_id"); // the last search: its photo need not be sent again
  const MOST_PX = 1600;
  const MOST_BYTES = 500_000;
  const recent = window.recentSearches;
  const crop = window.makeCrop(at("frame"), at("crop"), (box) => search(box));
  let running = null;
  let address = "";
  let chips = null; // the things found in the photo; a search of one part does not look for them again
  let box = ""; // what was searched last, so that a filter keeps it

  function choose(file) {
    const list = new DataTransfer();
    list.items.add(file);
    input.files = list.files;
    chosen();
  }

  function chosen() {
    const file = input.files[0];
    if (!file) return;
    url.value = "";
    known.value = "";
    if (file.size > Number(form.dataset.maxBytes)) { say(form.dataset.large); return; }
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(file);
    clear();
    // Browsers that cannot show a HEIC picture still send it.
    at("shown").onerror = () => stage(false);
    at("shown").src = address;
    stage(true);
    search("");
  }

  function stage(on) {
    at("stage").hidden = !on;
    form.classList.toggle("full", on);
    if (on) at("shown").addEventListener("load", fit, { once: true });
  }

  // The photo as large as its window allows; the box and the dots stand on the frame around it.
  function fit() {
    const frame = at("frame");
    const shown = at("shown");
    delete frame.dataset.sized;
    frame.style.width = "";
    if (!shown.naturalWidth) return;
    const room = at("window");
    const scale = Math.min(room.clientWidth / shown.naturalWidth, room.clientHeight / shown.naturalHeight);
    frame.style.width = `${shown.naturalWidth * scale}px`;
    frame.dataset.sized = "";
  }

  function clear() {
    crop.hide();
    at("dots").replaceChildren();
    at("heat").hidden = true;
  }

  async function search(part, limit = "") {
    if (!input.files.length && !url.value && !known.value) { at("photo").focus(); return; }
    box = part;
    if (running) running.abort();
    const mine = running = new AbortController();
    form.classList.add("answered");
    waiting(true);
    try {
      let response = await send(part, limit, mine.signal);
      if (response.status === 404 && known.value) { // forgotten meanwhile
        known.value = "";
        if (!input.files.length && !url.value) { waiting(false); say(form.dataset.forgotten); return; }
        response = await send(part, limit, mine.signal);
      }
      show(new DOMParser().parseFromString(await response.text(), "text/html"), part);
    } catch (error) {
      if (error.name === "AbortError") return;
      say(form.dataset.offline);
    }
    if (running === mine) waiting(false);
  }

  async function send(part, limit, signal) {
    const data = new FormData(form);
    data.delete("photo");
    if (part) data.set("box", part);
    if (limit) data.set("limit", limit);
    if (known.value) data.delete("photo_url");
    else if (input.files.length) data.set("photo", await smaller(input.files[0]), "photo.jpg");
    return fetch(form.action, { method: "POST", body: data, headers: { Accept: "text/html" }, signal });
  }

  // A phone's photo of many megabytes is made smaller here: quicker to send, and where it was taken stays here.
  async function smaller(file) {
    if (file.size <= MOST_BYTES) return file;
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(1, MOST_PX / Math.max(picture.width, picture.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
      picture.close();
      const made = await new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); });
      return made && made.size < file.size ? made : file;
    } catch { return file; } // a format that this browser cannot show; the server can
  }

  function waiting(on) {
    answer.toggleAttribute("aria-busy", on);
    if (on) answer.setAttribute("aria-busy", "true");
    if (on && !answer.querySelector(".card")) {
      answer.replaceChildren(at("skeleton").content.cloneNode(true));
    }
  }

  function show(page, part) {
    const fresh = page.getElementById("answer");
    if (!fresh) { say(form.dataset.unread); return; }
    answer.replaceChildren(...fresh.childNodes);
    answer.dataset.search = known.value = fresh.dataset.search || "";
    if (known.value) {
      document.title = page.title;
      history.pushState({}, "", `/answers/${known.value}`);
    }
    keepChips(part);
    mark(fresh.dataset.region);
    bringFilters(page);
    if (fresh.dataset.search && !at("stage").hidden) {
      recent.add(`/answers/${fresh.dataset.search}`, answer.querySelector("h2").textContent, at("shown"));
    }
    answer.focus({ preventScroll: true });
    at("said").textContent = fresh.dataset.sentence || "";
    fit();
    const narrow = window.matchMedia("(max-width: 63.99rem)").matches;
    if (!part) window.scrollTo({ top: narrow ? form.offsetTop : 0, behavior: "instant" });
  }

  // The filters that the new answer offers; the one in use keeps the focus.
  function bringFilters(page) {
    const fresh = page.getElementById("filter-fields");
    const focused = at("filter-fields").contains(document.activeElement) ? document.activeElement.name : "";
    at("filter-fields").replaceChildren(...fresh.childNodes);
    if (focused && form.elements[focused]) form.elements[focused].focus({ preventScroll: true });
  }

  function keepChips(part) {
    const fresh = at("parts");
    if (!part) { chips = fresh && fresh.cloneNode(true); return; }
    const verdict = answer.querySelector(".verdict");
    if (!chips || !verdict) return;
    if (fresh) fresh.remove();
    const kept = chips.cloneNode(true);
    for (const chip of kept.querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", String(chip.dataset.box === part));
    }
    verdict.after(kept);
  }

  function say(text) {
    const note = document.createElement("div");
    note.className = "verdict failed";
    note.setAttribute("role", "alert");
    note.append(document.createElement("h2"), document.createElement("p"));
    note.firstChild.textContent = form.dataset.failed;
    note.lastChild.textContent = text;
    if (input.files.length || url.value) {
      const again = document.createElement("button");
      Object.assign(again, { type: "button", className: "button", textContent: form.dataset.again });
      again.addEventListener("click", () => search(box));
      note.append(again);
    }
    form.classList.add("answered");
    answer.replaceChildren(note);
    waiting(false);
  }

  // The searched box, and a dot for every other thing that was found.
  function mark(region) {
    clear();
    if (!region || at("stage").hidden) return;
    crop.set(region);
    for (const chip of answer.querySelectorAll("#parts .chip:not([data-whole])")) {
      if (chip.getAttribute("aria-pressed") === "true") continue;
      const [x0, y0, x1, y1] = chip.dataset.box.split(",").map(Number);
      const dot = document.createElement("button");
      Object.assign(dot, { type: "button", className: "dot", title: chip.dataset.label });
      dot.setAttribute("aria-label", chip.dataset.label);
      dot.dataset.box = chip.dataset.box;
      dot.style.left = `${(x0 + x1) * 50}%`;
      dot.style.top = `${(y0 + y1) * 50}%`;
      at("dots").append(dot);
    }
  }

  async function vote(button) {
    const body = {
      search_id: answer.dataset.search,
      product_id: button.closest("[data-product]").dataset.product,
      vote: button.dataset.vote,
    };
    try {
      const sent = await fetch("/api/feedback", {
        method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
      });
      if (!sent.ok) return;
    } catch { return; }
    for (const one of button.parentElement.querySelectorAll("button")) {
      one.setAttribute("aria-pressed", String(one === button));
    }
    at("said").textContent = form.dataset.thanks;
  }

  function why(button) {
    const heat = at("heat");
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const one of answer.querySelectorAll("[data-why]")) one.setAttribute("aria-pressed", "false");
    heat.hidden = true;
    if (!on) return;
    const image = button.dataset.why.split("/").pop();
    button.setAttribute("aria-pressed", "true");
    button.setAttribute("aria-busy", "true");
    heat.onload = () => { heat.hidden = false; button.removeAttribute("aria-busy"); };
    heat.onerror = () => { button.hidden = true; };
    heat.src = `/api/search/${answer.dataset.search}/why/${image}`;
    at("stage").scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async function share(button) {
    let link = new URL(button.dataset.address, location.href).href;
    if (at("with-photo").checked && !at("stage").hidden) {
      const copy = recent.thumbnail(at("shown"), 160);
      if (copy) link += `#photo=${copy}`;
    }
    try {
      if (navigator.share) await navigator.share({ url: link });
      else await navigator.clipboard.writeText(link);
      at("shared").textContent = form.dataset.copied;
    } catch (error) {
      if (error.name !== "AbortError") at("shared").textContent = link;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (url.value) { input.value = known.value = ""; stage(false); clear(); }
    search("");
  });
  input.addEventListener("change", chosen);
  at("renew").addEventListener("click", () => input.click());
  at("camera").addEventListener("change", () => at("camera").files[0] && choose(at("camera").files[0]));
  for (const filters of [at("filters"), at("colors")]) {
    if (filters) filters.addEventListener("change", () => search(box));
  }
  at("dots").addEventListener("click", (event) => {
    if (event.target.dataset.box) search(event.target.dataset.box);
  });
  answer.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.box) { event.preventDefault(); search(button.dataset.box); }
    else if (button.dataset.more) { event.preventDefault(); search(box, button.dataset.more); }
    else if (button.dataset.vote) vote(button);
    else if (button.dataset.why) why(button);
    else if (button.id === "share") share(button);
  });
  at("forget").addEventListener("click", () => recent.forget());
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) choose(file);
  });
  // A photo dropped beside the field must not replace the page.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => event.preventDefault());
  }
  document.addEventListener("dragover", () => at("drop").classList.add("over"));
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) at("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    at("drop").classList.remove("over");
    if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
  });
  // Back and forward, and a page that was opened at the address of an answer: what the server shows there.
  window.addEventListener("popstate", async () => {
    if (running) running.abort();
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      bring(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch { location.reload(); }
  });

  // Another page's answer, photo, filters and order, in place.
  function bring(page) {
    const there = page.getElementById("search");
    if (!there) { location.reload(); return; }
    answer.replaceChildren(...page.getElementById("answer").childNodes);
    for (const name of ["search", "region", "box", "verdict"]) {
      answer.dataset[name] = page.getElementById("answer").dataset[name] || "";
    }
    bringFilters(page);
    for (const fresh of there.querySelectorAll("input:not([type=file])")) {
      const same = (one) => one.name === fresh.name && (one.type !== "radio" || one.value === fresh.value);
      const own = [...form.elements].find((one) => fresh.name && same(one));
      if (!own) continue;
      own.value = fresh.value;
      own.checked = fresh.checked;
    }
    input.value = "";
    document.title = page.title;
    form.classList.toggle("answered", there.classList.contains("answered"));
    opened();
    const photo = page.getElementById("shown").getAttribute("src");
    stage(Boolean(photo));
    if (!photo) return;
    at("shown").src = photo;
    mark(answer.dataset.region);
  }

  // What an answer on the page means for the script: its parts, its box.
  function opened() {
    clear();
    chips = at("parts") && at("parts").cloneNode(true);
    box = answer.dataset.box || "";
  }

  if (answer.dataset.search) {
    opened();
    const photo = at("shown");
    stage(!at("stage").hidden);
    if (photo.complete && photo.naturalWidth) mark(answer.dataset.region);
    else photo.addEventListener("load", () => mark(answer.dataset.region), { once: true });
    photo.onerror = () => stage(false);
  }
  window.addEventListener("resize", fit);
  recent.show();
})();
