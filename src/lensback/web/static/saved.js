// Things that the shopper saved: kept in this browser and nowhere else, compared with what they cost now.
"use strict";

(() => {
  const KEY = "lensback.saved";
  const MOST = 100;

  // Whatever else stands in the storage is passed over.
  function whole(one) {
    return one && /^p[a-z2-7]{16}$/.test(one.product) && typeof one.title === "string"
      && /^\d{1,12}(\.\d{1,4})?$/.test(one.amount) && /^[A-Z]{3}$/.test(one.currency);
  }

  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) || "[]");
      return Array.isArray(kept) ? kept.filter(whole) : [];
    } catch { return []; }
  }

  function keep(list) {
    try { localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST))); return true; } catch { return false; }
  }

  // What this browser kept before it had a pass goes to the user's things on the server, as it was when it was
  // saved, the oldest first. What is not taken (not sold just now, too many) stays here for another day.
  async function hand() {
    const list = load().reverse();
    const taken = new Set();
    for (const one of list) {
      const was = { amount: one.amount, currency: one.currency, here: Boolean(one.here), saved_at: one.at || 0 };
      let sent;
      try {
        sent = await fetch(`/api/saved/${one.product}`, {
          method: "PUT", body: JSON.stringify(was), headers: { "Content-Type": "application/json" },
        });
      } catch { break; }
      if (sent.ok) taken.add(one.product);
      else if (![400, 404].includes(sent.status)) break;
    }
    if (taken.size && keep(load().filter((one) => !taken.has(one.product)))) location.reload();
  }

  const button = document.getElementById("save");
  if (button) {
    const mine = button.dataset;
    const has = () => load().some((one) => one.product === mine.product);
    const draw = () => {
      button.setAttribute("aria-pressed", String(has()));
      button.textContent = has() ? mine.saved : mine.save;
    };
    button.addEventListener("click", () => {
      const others = load().filter((one) => one.product !== mine.product);
      const { product, title, image, amount, currency } = mine;
      const now = Math.floor(Date.now() / 1000);
      const kept = keep(has() ? others : [{ product, title, image, amount, currency, here: Boolean(mine.here), at: now }, ...others]);
      button.parentElement.querySelector("[role=alert]").hidden = kept;
      draw();
    });
    draw();
  }

  const page = document.getElementById("saved");
  if (!page) return;
  const member = "member" in page.dataset; // the list is the server's; here stands what it did not take
  const shelf = member ? document.getElementById("here-only") : page;
  const node = (tag, text = "", fields = {}) => Object.assign(document.createElement(tag), { textContent: text }, fields);
  // As the server writes it: whole amounts without cents.
  const money = ({ amount, currency }) => new Intl.NumberFormat(document.documentElement.lang, {
    style: "currency", currency, ...(Number(amount) % 1 ? {} : { minimumFractionDigits: 0 }),
  }).format(Number(amount));

  function draw() {
    const list = load();
    if (member) shelf.hidden = !list.length;
    else document.getElementById("none-saved").hidden = list.length > 0;
    shelf.querySelector("ul").replaceChildren(...list.map(entry));
  }

  function entry(one) {
    const item = node("li");
    const link = node("a", one.title, { href: `/products/${one.product}`, dir: "auto" });
    const state = node("p", money(one), { className: "state" });
    const remove = node("button", page.dataset.remove, { type: "button", className: "link" });
    remove.setAttribute("aria-label", `${page.dataset.remove}: ${one.title}`);
    remove.addEventListener("click", () => {
      const at = [...shelf.querySelectorAll("button")].indexOf(remove);
      keep(load().filter((other) => other.product !== one.product));
      draw();
      // The focus goes to what took its place, else to the last one, else to what is said of none.
      const left = [...shelf.querySelectorAll("button")];
      (left[at] || left.at(-1) || document.querySelector("#none-saved:not([hidden]) a") || document.getElementById("main")).focus();
      document.getElementById("said").textContent = page.dataset.removed.replace("{title}", one.title);
    });
    if (/^\/images\/[0-9a-f]{64}$/.test(one.image)) item.append(node("img", "", { src: one.image, alt: "", width: 96, height: 96 }));
    item.append(link, state, remove);
    now(one, state);
    return item;
  }

  // What it costs today, and what that means beside what was saved.
  async function now(one, state) {
    let response;
    const unknown = () => state.append(" ", node("span", page.dataset.unknown, { className: "small" }));
    try { response = await fetch(`/api/products/${one.product}`); } catch { unknown(); return; }
    if (response.status === 404) { state.textContent = page.dataset.away; return; }
    if (!response.ok) { unknown(); return; }
    let offers;
    try { ({ offers } = await response.json()); } catch { unknown(); return; } // cut short
    const here = offers.filter((offer) => offer.availability === "in_stock");
    const prices = (here.length ? here : offers).map((offer) => offer.price).filter((price) => price.currency === one.currency);
    if (!prices.length) return;
    const best = prices.reduce((a, b) => (Number(b.amount) < Number(a.amount) ? b : a));
    state.textContent = money(best);
    const say = (text, kind) => state.append(" ", node("span", text, { className: `mark ${kind}` }));
    if (!here.length) say(page.dataset.gone, "sold");
    else if (!one.here) say(page.dataset.back, "back");
    if (here.length && Number(best.amount) < Number(one.amount)) say(page.dataset.cheaper.replace("{before}", money(one)), "cheaper");
  }

  if (member) hand().then(draw);
  else draw();
})();
