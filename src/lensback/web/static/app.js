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
  const recent = window.recentSearches;
  const { smaller, post, own } = window.sendPhotos;
  const crop = window.makeCrop(at("frame"), at("crop"), (part) => search(part));
  const remembered = window.makeMine(form, () => search(box));
  const photo = window.makePhoto((part) => search(part));
  const NOTED_MS = 400; // what is quicker needs no progress
  const TOAST_MS = 8000;
  const HEARD_MS = [1000, 3000]; // words in a photo are mostly read by then
  const sentences = JSON.parse(form.dataset.statuses); // what a status means, where nothing else tells
  let running = null;
  let address = "";
  let asked = url.value; // the address of the picture on the page
  let chips = null; // the things found in the photo; a search of one part does not look for them again
  let box = ""; // what was searched last, so that a filter keeps it
  let held = input.files[0] || null; // the photo on the page; the field may hold the next one already
  let fields = values(); // as the answer on the page was asked for
  let before = null; // what stood here before the search under way
  let covered = null; // the answer whose place a failure took
  let place = location.pathname + location.search; // of the page that stands here
  let leaving = null; // the link to another language, followed once the search under way is over
  let hearing = 0; // the timer of the next look whether words in the photo are read

  // Photos that came in: the first is searched, the others wait beside it.
  function choose(all) {
    before ||= standing();
    at("toast").hidden = true;
    queue(all);
    chosen(all[0]);
  }

  function queue(all) {
    const shelf = at("queue");
    for (const one of shelf.querySelectorAll("img")) URL.revokeObjectURL(one.src);
    shelf.hidden = all.length < 2;
    shelf.replaceChildren(...(all.length < 2 ? [] : all.slice(0, 12)).map((file, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `${shelf.dataset.photo} ${number + 1}`);
      button.setAttribute("aria-pressed", String(!number));
      const picture = document.createElement("img");
      Object.assign(picture, { src: URL.createObjectURL(file), alt: "" });
      button.append(picture);
      button.addEventListener("click", () => {
        before ||= standing();
        for (const one of shelf.children) one.setAttribute("aria-pressed", String(one === button));
        chosen(file);
      });
      return button;
    }));
  }

  function chosen(file) {
    hold(file);
    url.value = "";
    known.value = "";
    clear();
    preview(file);
    search("");
  }

  function hold(file) {
    const list = new DataTransfer();
    if (file) list.items.add(file);
    input.files = list.files;
    held = file;
  }

  function preview(file) {
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(file);
    // A format that the browser cannot show (HEIC) is shown as the server decoded it, once it has.
    at("shown").onerror = () => stage(false);
    at("shown").src = address;
    stage(true);
  }

  function stage(on) {
    at("stage").hidden = !on;
    form.classList.toggle("full", on);
    if (on) photo.fit();
  }

  function clear() {
    crop.hide();
    photo.things([]);
    at("heat").hidden = true;
  }

  async function search(part, limit = "") {
    if (held && !input.files.length) hold(held); // the picker was opened and left
    if (!input.files.length && !url.value && !known.value) { before = null; fields = values(); at("photo").focus(); return; }
    before ||= standing();
    box = part;
    clearTimeout(hearing);
    if (running) running.abort();
    const mine = running = new AbortController();
    const anew = !known.value;
    const focused = document.activeElement;
    const chip = answer.contains(focused) ? focused.dataset.box : "";
    const stood = limit ? answer.querySelectorAll(".card").length : 0;
    form.classList.add("answered");
    waiting(true);
    const slow = setTimeout(() => progress(0), NOTED_MS);
    try {
      let reply = await send(part, limit, mine.signal);
      if (reply.status === 404 && known.value) { // forgotten meanwhile
        known.value = "";
        if (!input.files.length && !url.value) { say(form.dataset.forgotten); return; }
        reply = await send(part, limit, mine.signal);
      }
      if (running === mine) {
        if (show(reply, part, { anew, chip, stood })) hear(part, limit);
      }
    } catch (error) {
      if (error.name === "AbortError" || running !== mine) return;
      if (error instanceof RangeError) say(form.dataset.large, false);
      else if (/^Not(Readable|Found)Error$/.test(error.name)) say(form.dataset.unreadable, false);
      else if (error.name === "TimeoutError") say(form.dataset.slow);
      else say(form.dataset.offline);
    } finally {
      clearTimeout(slow);
      if (running === mine) { ended(); follow(); }
    }
  }

  async function send(part, limit, signal) {
    const data = new FormData(form);
    data.delete("photo");
    if (part) data.set("box", part);
    if (limit) data.set("limit", limit);
    if (known.value) data.delete("photo_url");
    else if (input.files.length) data.set("photo", await fitting(input.files[0]), "photo.jpg");
    return post(form.action, data, signal, (share) => { if (!at("progress").hidden) progress(share); });
  }

  // The words in the photo that were not read in time: asked for by itself, and shown where they say something else.
  function hear(part, limit, turn = 0) {
    clearTimeout(hearing);
    const asking = known.value;
    const still = () => !running && known.value === asking && asking && untouched();
    if (!still() && turn || !("reading" in answer.dataset) || turn >= HEARD_MS.length) return;
    hearing = setTimeout(async () => {
      if (!still()) return;
      let reply;
      try { reply = await send(part, limit, new AbortController().signal); } catch { return; }
      const fresh = reply.page.getElementById("answer");
      if (!still() || !fresh || !fresh.dataset.search) return;
      if (told(fresh) !== told(answer)) show(reply, part, { anew: false, chip: "", quiet: true });
      else if (!("reading" in fresh.dataset)) delete answer.dataset.reading;
      hear(part, limit, turn + 1);
    }, HEARD_MS[turn]);
  }

  // What an answer says, to compare two of them.
  function told(one) {
    const things = [...one.querySelectorAll("[data-product]")].map((card) => card.dataset.product);
    return [one.querySelector(".verdict")?.textContent.replace(/\s+/g, " "), ...things].join("\n");
  }

  // The file as it is sent. Rejects with RangeError where the server would not take it, with NotReadableError
  // or NotFoundError where it is not there any more.
  async function fitting(file) {
    await file.slice(0, 1).arrayBuffer();
    const sent = await smaller(file);
    if (sent.size > Number(form.dataset.maxBytes)) throw new RangeError("too large");
    return sent;
  }

  function progress(share) {
    if (at("progress").hidden) at("said").textContent = at("progress").querySelector("label").textContent.trim();
    at("progress").hidden = false;
    const bar = at("progress").querySelector("progress");
    if (share > 0 && share < 1) bar.value = share;
    else bar.removeAttribute("value"); // the server is at work
  }

  // The search under way is over, whatever came of it.
  function ended() {
    running = before = null;
    waiting(false);
    at("progress").hidden = true;
  }

  // To the other language that was asked for meanwhile; where there is no answer to be read in it, nowhere.
  function follow() {
    const link = leaving;
    leaving = null;
    if (link && !answer.querySelector(".failed")) link.click();
  }

  // What belongs together: answer, photo, part and what was asked for.
  function standing() {
    const shelf = [...at("queue").children];
    return {
      nodes: [...answer.childNodes], data: { ...answer.dataset }, answered: form.classList.contains("answered"), known: known.value, box, chips, file: held, fields, url: asked,
      source: at("shown").getAttribute("src"), staged: !at("stage").hidden, region: at("crop").hidden ? "" : answer.dataset.region,
      shelf, pressed: shelf.map((one) => one.getAttribute("aria-pressed")),
    };
  }

  // What stood here before the search that was stopped.
  function stop() {
    if (!running) return;
    running.abort();
    const was = before;
    leaving = null;
    ended();
    restore(was);
    (known.value ? answer : input).focus({ preventScroll: true });
    at("said").textContent = form.dataset.stopped;
  }

  function restore(was) {
    answer.replaceChildren(...was.nodes);
    Object.assign(answer.dataset, was.data);
    form.classList.toggle("answered", was.answered);
    hold(was.file);
    [known.value, url.value, box, chips] = [was.known, was.url, was.box, was.chips];
    for (const [field, value, checked] of was.fields) [field.value, field.checked] = [value, checked];
    fields = values();
    asked = was.url;
    at("queue").replaceChildren(...was.shelf);
    at("queue").hidden = !was.shelf.length;
    was.shelf.forEach((one, number) => one.setAttribute("aria-pressed", was.pressed[number]));
    if (was.staged && was.source !== at("shown").getAttribute("src")) {
      at("shown").addEventListener("load", () => mark(was.region), { once: true });
      if (was.source.startsWith("blob:")) preview(was.file);
      else at("shown").src = was.source;
    }
    stage(was.staged);
    mark(was.region);
  }

  // What the filters and the words say now; the photo is no part of it.
  function values() {
    return [...form.elements].filter((one) => one.name && !["file", "hidden", "submit", "url"].includes(one.type)).map((one) => [one, one.value, one.checked]);
  }

  // Whether nobody is writing something else into a filter or the words: half of it is not asked for.
  function untouched() {
    return fields.every(([field, value, checked]) => field.value === value && field.checked === checked);
  }

  function waiting(on) {
    answer.toggleAttribute("aria-busy", on);
    if (on) answer.setAttribute("aria-busy", "true");
    if (on && !answer.querySelector(".card")) {
      answer.replaceChildren(at("skeleton").content.cloneNode(true));
    }
  }

  // Whether it is an answer that is shown now, and no failure.
  function show({ status, page }, part, { anew, chip, quiet = false, stood = 0 }) {
    const fresh = page.getElementById("answer");
    if (!fresh) { say(sentences[status] || form.dataset.unread, curable(status)); return false; } // not a page of ours
    const found = fresh.dataset.search;
    answer.replaceChildren(...fresh.childNodes);
    if (found || !known.value) {
      for (const name of ["search", "region", "box", "verdict"]) answer.dataset[name] = fresh.dataset[name] || "";
      answer.toggleAttribute("data-reading", "reading" in fresh.dataset);
    }
    if (found) {
      known.value = found;
      document.title = page.title;
      history[quiet ? "replaceState" : "pushState"]({}, "", `/answers/${found}`);
      placed();
      keepChips(part);
    }
    const source = page.getElementById("shown")?.getAttribute("src");
    const keep = () => found && !at("stage").hidden && remember(`/answers/${found}`, named());
    if (at("stage").hidden && source) decoded(source, fresh.dataset.region).then(keep);
    else mark(known.value && answer.dataset.region); // a failure leaves photo and box as they are
    bringFilters(page);
    fields = values();
    asked = url.value;
    keep();
    at("said").textContent = fresh.dataset.sentence || answer.querySelector("h2, p").textContent;
    const failed = answer.querySelector(".failed");
    if (failed && curable(status)) offerAgain(failed);
    if (failed) offerBack(failed);
    else covered = null;
    refocus(chip, anew, stood);
    const narrow = window.matchMedia("(max-width: 63.99rem)").matches;
    if (failed) failed.scrollIntoView({ block: "nearest" });
    else if (anew) window.scrollTo({ top: narrow ? form.offsetTop : 0, behavior: "instant" });
    return Boolean(found);
  }

  // What tells this answer from the others of its verdict.
  function named() {
    const parts = [answer.querySelector("h2"), answer.querySelector("[data-product] h3")];
    return parts.filter(Boolean).map((one) => one.textContent.trim().slice(0, 120)).join(": ");
  }

  // Among the recent searches, with the photo once it is there to be copied.
  function remember(link, words) {
    const picture = at("shown");
    const add = () => link === `/answers/${known.value}` && recent.add(link, words, picture);
    if (picture.complete && picture.naturalWidth) add();
    else picture.addEventListener("load", add, { once: true });
  }

  // The photo as the server decoded it: for a format that the browser cannot show, or from an address.
  async function decoded(source, region) {
    const mine = known.value;
    const picture = await own(source);
    if (known.value !== mine) return; // another answer came meanwhile
    at("shown").onerror = () => stage(false);
    at("shown").addEventListener("load", () => mark(region), { once: true });
    at("shown").src = picture;
    stage(true);
  }

  // The focus stays where the shopper is: on the box, on the part, on the filter; after a new photo it goes to the answer,
  // after "show more" to the first thing that came.
  function refocus(chip, anew, stood) {
    const same = chip && [...answer.querySelectorAll(".chip")].find((one) => one.dataset.box === chip);
    const lost = document.activeElement === document.body || at("progress").contains(document.activeElement);
    const come = stood ? answer.querySelectorAll(".card h3")[stood] : null;
    if (same) same.focus({ preventScroll: true });
    else if (anew) answer.focus({ preventScroll: true });
    else if (!lost) return;
    else if (come) { come.tabIndex = -1; come.focus(); }
    else if (at("stage").hidden) answer.focus({ preventScroll: true });
    else at("crop").focus({ preventScroll: true });
  }

  // The filters and colours that the new answer offers; the one in use keeps the focus.
  function bringFilters(page) {
    for (const own of form.querySelectorAll("#colors input")) {
      const fresh = page.querySelector(`#colors input[value="${own.value}"]`);
      if (!fresh) continue;
      own.disabled = fresh.disabled;
      own.nextElementSibling.textContent = own.parentElement.title = fresh.parentElement.title;
    }
    const fresh = page.getElementById("filter-fields");
    if (!fresh) return; // a failure has none
    const focused = at("filter-fields").contains(document.activeElement) ? document.activeElement.name : "";
    at("filter-fields").replaceChildren(...fresh.childNodes);
    if (focused && form.elements[focused]) form.elements[focused].focus({ preventScroll: true });
    remembered.show();
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

  // Whether the same may go well the next time.
  function curable(status) {
    return status < 400 || status === 408 || status === 429 || status >= 500;
  }

  function offerAgain(note) {
    if (input.files.length || url.value || known.value) offer(note, form.dataset.again, "button", () => search(box));
  }

  // The answer that stood here before the failure is not lost: the way back to it.
  function offerBack(note) {
    if (before && before.known && !before.nodes.some((one) => one.matches?.(".failed"))) covered = before;
    const was = covered;
    if (!was) return;
    offer(note, form.dataset.back, "link", () => {
      if (running) { running.abort(); ended(); }
      covered = null;
      restore(was);
      answer.focus({ preventScroll: true });
    });
  }

  function offer(note, words, look, act) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: look, textContent: words });
    button.addEventListener("click", act);
    note.append(button);
  }

  function say(text, again = true) {
    const note = document.createElement("div");
    note.className = "verdict failed";
    note.append(document.createElement("h2"), document.createElement("p"));
    note.firstChild.textContent = form.dataset.failed;
    note.lastChild.textContent = text;
    if (again) offerAgain(note);
    offerBack(note);
    form.classList.add("answered");
    answer.replaceChildren(note);
    waiting(false);
    at("said").textContent = text;
    note.scrollIntoView({ block: "nearest" });
  }

  // One sentence for a while, beside what stands there.
  function toast(text) {
    const note = at("toast");
    [note.textContent, note.hidden, at("said").textContent] = [text, false, text];
    clearTimeout(Number(note.dataset.timer));
    note.dataset.timer = setTimeout(() => { note.hidden = true; }, TOAST_MS);
  }

  // The searched box, and a dot for every other thing that was found.
  function mark(region) {
    clear();
    if (!region || at("stage").hidden) return;
    const pressed = answer.querySelector("#parts .chip[aria-pressed=true]");
    crop.set(region, pressed ? pressed.textContent.trim() : "");
    const others = [...answer.querySelectorAll("#parts > .chip:not([data-whole])")].filter((one) => one.getAttribute("aria-pressed") !== "true");
    photo.things(others.map((one) => ({ box: one.dataset.box.split(",").map(Number), text: one.dataset.box, label: one.dataset.label })));
  }

  async function vote(button) {
    const body = {
      search_id: answer.dataset.search,
      product_id: button.closest("[data-product]").dataset.product,
      vote: button.dataset.vote,
    };
    let sent;
    try {
      sent = await fetch("/api/feedback", {
        method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
      });
    } catch { note(button, form.dataset.offline); return; }
    note(button, sent.ok ? "" : sentences[sent.status] || form.dataset.failed);
    if (!sent.ok) return;
    for (const one of button.parentElement.querySelectorAll("button")) {
      one.setAttribute("aria-pressed", String(one === button));
    }
    at("said").textContent = form.dataset.thanks;
  }

  // Beside what was pressed: why nothing came of it; "" takes it away.
  function note(button, text) {
    const acts = button.closest(".acts");
    const said = acts.querySelector("[role=alert]") || document.createElement("p");
    said.className = "small";
    said.setAttribute("role", "alert");
    said.textContent = text;
    if (text) acts.append(said);
    else said.remove();
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
    note(button, "");
    heat.onload = () => { heat.hidden = false; button.removeAttribute("aria-busy"); };
    heat.onerror = () => { button.hidden = true; note(button, form.dataset.failed); };
    own(`/api/search/${answer.dataset.search}/why/${image}`).then((picture) => { heat.src = picture; });
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
      tellShared(form.dataset.copied);
    } catch (error) {
      if (error.name !== "AbortError") tellShared(link);
    }
  }

  // Seen beside the button, and heard.
  function tellShared(text) {
    for (const place of ["shared", "said"]) at(place).textContent = text;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!url.value || (known.value && url.value === asked)) { search(box); return; }
    before ||= standing();
    hold(null);
    known.value = "";
    queue([]);
    stage(false);
    clear();
    search("");
  });
  input.multiple = true; // without a script there is one photo
  input.addEventListener("click", () => { input.value = ""; }); // else the same photo, chosen again, is no change
  input.addEventListener("cancel", () => hold(held));
  input.addEventListener("change", () => input.files.length && choose([...input.files]));
  at("renew").addEventListener("click", () => input.click());
  for (const filters of [at("filters"), at("colors")]) {
    if (filters) filters.addEventListener("change", () => search(box));
  }
  answer.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.box) { event.preventDefault(); search(button.dataset.box); }
    else if (button.dataset.more) { event.preventDefault(); search(box, button.dataset.more); }
    else if (button.dataset.vote) vote(button);
    else if (button.dataset.why) why(button);
    else if (button.id === "share") share(button);
  });
  at("forget").addEventListener("click", () => { recent.forget(); input.focus({ preventScroll: true }); });
  at("cancel").addEventListener("click", stop);
  // A search under way is not lost to another language: its answer is what that page shows then.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-language]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!running) { leaving = null; return; }
    event.preventDefault();
    leaving = link;
  });
  window.takePhotos({
    files: choose,
    odd: () => toast(form.dataset.odd),
    blind: () => toast(form.dataset.blind),
    address(said) {
      url.value = said;
      form.requestSubmit();
    },
  });

  // Back and forward, and a page that was opened at the address of an answer: what the server shows there.
  window.addEventListener("popstate", async () => {
    if (place === location.pathname + location.search) return; // a place of the same page, such as "#main"
    placed();
    if (running) running.abort();
    const mine = running = new AbortController();
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal: mine.signal });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (running !== mine) return; // twice back: the last one counts, whichever comes first
      ended();
      bring(page);
    } catch (error) { if (error.name !== "AbortError") location.reload(); }
  });

  // The address is that of the answer now: the page in another language is that answer, too.
  function placed() {
    place = location.pathname + location.search;
    for (const link of document.querySelectorAll("[data-language]")) {
      const said = new URLSearchParams(location.search);
      said.set("lang", link.dataset.language);
      link.href = `?${said}`;
    }
  }

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
    hold(null);
    fields = values();
    document.title = page.title;
    form.classList.toggle("answered", there.classList.contains("answered"));
    opened();
    const source = page.getElementById("shown").getAttribute("src");
    stage(Boolean(source));
    if (!source) return;
    at("shown").src = source;
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
    const shown = at("shown");
    stage(!at("stage").hidden);
    if (shown.complete && shown.naturalWidth) mark(answer.dataset.region);
    else shown.addEventListener("load", () => mark(answer.dataset.region), { once: true });
    shown.onerror = () => stage(false);
  }
  recent.show();
  if (navigator.serviceWorker) navigator.serviceWorker.register("/worker.js").catch(() => {}); // says "no connection", keeps nothing
})();
