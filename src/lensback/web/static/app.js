// Comfort on top of a page that works without it: preview, drop, paste, answer in place.
"use strict";

(() => {
  const form = document.getElementById("search");
  const answer = document.getElementById("answer");
  if (!form || !window.fetch || !window.DOMParser) return;
  document.documentElement.classList.add("js");

  const at = (id) => document.getElementById(id);
  const input = at("photo");
  const drop = at("drop");
  let running = null;
  let address = "";

  function choose(file) {
    const list = new DataTransfer();
    list.items.add(file);
    input.files = list.files;
    chosen();
  }

  function chosen() {
    const file = input.files[0];
    if (!file) return;
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(file);
    at("region").hidden = at("caption").hidden = true;
    // Browsers that cannot show a HEIC picture still send it.
    at("shown").onerror = () => preview(false);
    at("shown").src = address;
    preview(true);
    search("");
  }

  function preview(on) {
    at("preview").hidden = !on;
    drop.classList.toggle("full", on);
  }

  async function search(box) {
    if (!input.files.length) { input.reportValidity(); return; }
    if (running) running.abort();
    const mine = running = new AbortController();
    const data = new FormData(form);
    if (box) data.set("box", box);
    answer.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(form.action, {
        method: "POST", body: data, headers: { Accept: "text/html" }, signal: mine.signal,
      });
      show(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch (error) {
      if (error.name === "AbortError") return;
      say("That did not work", "The service cannot be reached. Check the connection and try again.");
    }
    if (running === mine) answer.removeAttribute("aria-busy");
  }

  function show(page) {
    const fresh = page.getElementById("answer");
    if (!fresh) { say("That did not work", "The answer cannot be read. Try again."); return; }
    answer.replaceChildren(...fresh.childNodes);
    mark(fresh.dataset.region);
    answer.focus({ preventScroll: true });
    if (window.matchMedia("(max-width: 60rem)").matches) answer.scrollIntoView();
  }

  function say(headline, text) {
    const box = document.createElement("div");
    box.className = "verdict failed";
    box.append(document.createElement("h2"), document.createElement("p"));
    box.firstChild.textContent = headline;
    box.lastChild.textContent = text;
    answer.replaceChildren(box);
  }

  function mark(region) {
    const box = at("region");
    box.hidden = at("caption").hidden = !region || at("preview").hidden;
    if (box.hidden) return;
    const [x0, y0, x1, y1] = region.split(",").map(Number);
    Object.assign(box.style, {
      left: `${x0 * 100}%`, top: `${y0 * 100}%`,
      width: `${(x1 - x0) * 100}%`, height: `${(y1 - y0) * 100}%`,
    });
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); search(""); });
  input.addEventListener("change", chosen);
  answer.addEventListener("click", (event) => {
    const part = event.target.closest("[data-box]");
    if (part) search(part.dataset.box);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) choose(file);
  });
  // A photo dropped beside the field must not replace the page.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => event.preventDefault());
  }
  document.addEventListener("dragover", () => drop.classList.add("over"));
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
  });
})();
