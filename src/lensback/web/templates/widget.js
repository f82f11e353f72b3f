// "Find by photo" for any page: <script src="https://find.example.com/static/widget.js" data-key="pk_…" async></script>
// Draws a button where the script stands, asks the API from the visitor's browser, shows the answer in a dialog.
// A member's clicks are the member's: data-pass="PASS", or data-pass-from="NAME" of a function of the page that gives
// the pass or a promise of it. data-theme="light|dark" where the page's own colours do not tell.
// Everything lives in a shadow root: the host page's styles and ours do not meet.
"use strict";

(() => {
  const script = document.currentScript;
  // Another element where somebody's text on the host's page took that name: its address is not ours.
  if (!(script instanceof HTMLScriptElement)) return;
  const base = new URL("/", script.src).href;
  const key = script.dataset.key || "";
  const WORDS = {{ words | tojson }};
  const asked = (script.dataset.language || document.documentElement.lang || navigator.language).split("-")[0];
  const language = Object.hasOwn(WORDS, asked) ? asked : "en";
  const words = WORDS[language];

  const STYLE = `
    :host { all: initial; display: inline-block; font: 16px/1.45 system-ui, sans-serif; color-scheme: light dark; }
    button, a.go { display: inline-flex; align-items: center; justify-content: center; min-height: 2.75rem; min-width: 2.75rem; font: inherit; font-weight: 600; border: 0; border-radius: 10px; padding: .55em 1.1em; cursor: pointer;
      background: #3450c8; color: #fff; text-decoration: none; white-space: nowrap; }
    button:focus-visible, a:focus-visible { outline: 3px solid #9db0ff; outline-offset: 2px; }
    dialog { border: 0; border-radius: 16px; padding: 1.2rem; width: min(34rem, 92vw); max-height: 86vh; color: CanvasText; background: Canvas; }
    dialog::backdrop { background: rgb(0 0 0 / .5); }
    header { display: flex; justify-content: space-between; align-items: center; gap: 1rem; }
    h2 { font-size: 1.2rem; margin: 0; }
    header button { background: none; color: inherit; font-weight: 400; }
    ol { list-style: none; margin: 1rem 0 0; padding: 0; display: grid; gap: .8rem; }
    li { display: grid; grid-template-columns: 5.5rem 1fr; gap: .9rem; align-items: center; }
    img { width: 5.5rem; height: 5.5rem; object-fit: contain; background: #fff; border-radius: 8px; }
    p { margin: 0; } .offer { display: flex; justify-content: space-between; gap: .8rem; align-items: center; margin-top: .35rem; }
    .small { font-size: .85em; } .small, .gone p { color: color-mix(in srgb, CanvasText 74%, Canvas); } .gone img { opacity: .5; } h3 { font-size: 1rem; margin: 1rem 0 0; }
    form { margin: 0; } summary { cursor: pointer; min-height: 2.75rem; display: flex; align-items: center; }
    .terms ul { margin: 0; padding-block: 0 .5rem; padding-inline: 1.1rem 0; display: grid; gap: .25rem; } .terms li { display: list-item; }`;

  const SLOW_MS = 120000;
  const HEARD_MS = [1000, 3000];
  const node = (tag, text = "", fields = {}) => Object.assign(document.createElement(tag), { textContent: text }, fields);
  const host = node("span", "", { lang: language, dir: words.direction });
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // allowed also where the host's policy forbids inline styles
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  const input = node("input", "", { type: "file", accept: "image/*", hidden: true });
  const open = node("button", words.find, { type: "button" });
  const dialog = node("dialog");
  const title = node("h2");
  title.setAttribute("aria-live", "polite");
  const close = node("button", words.close, { type: "button" });
  const head = node("header");
  const list = node("div");
  // Whose photos they are: no cookie of the service's gets here, so this page has a secret of its own.
  const own = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)))).replace(/\+/g, "-").replace(/\//g, "_").slice(0, 43);
  let pass = "";
  let latest = null;
  head.append(title, close);
  dialog.append(head, list);
  root.append(open, input, dialog);
  script.after(host);

  const money = (amount) => new Intl.NumberFormat(language, {
    style: "currency", currency: amount.currency, ...(Number(amount.amount) % 1 ? {} : { minimumFractionDigits: 0 }),
  }).format(Number(amount.amount));

  // Whose clicks they are; nobody's where the page's function fails.
  async function passOf() {
    const from = window[script.dataset.passFrom || ""];
    try { return String((typeof from === "function" ? await from() : script.dataset.pass) || ""); } catch { return ""; }
  }

  // Dark where the page behind the button is: the page's own colours count, not the system's.
  function theme() {
    const said = script.dataset.theme;
    if (said === "light" || said === "dark") return said;
    for (let at = host.parentElement; at; at = at.parentElement) {
      const [r, g, b, a = 1] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
      if (a > 0.5) return 0.299 * r + 0.587 * g + 0.114 * b < 128 ? "dark" : "light";
    }
    return getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  // How the page makes photos smaller, with a window of its own to hang on.
  const { smaller } = ((window) => {
    {{ send | safe }}
    return window.sendPhotos;
  })({});

  // The way to the store: a link, or for a member a form, so that no link with a pass can be passed on.
  function way(offer) {
    if (offer.reachable === false) return node("p", words.noWay, { className: "small" });
    const address = new URL(offer.link, base).href;
    if (!pass) return node("a", words.go, { className: "go", href: address, target: "_blank", rel: "nofollow sponsored noopener" });
    const form = node("form", "", { method: "post", action: address, target: "_blank", rel: "noopener" });
    form.append(node("input", "", { type: "hidden", name: "user", value: pass }), node("button", words.go, { type: "submit", className: "go" }));
    return form;
  }

  // Things of one verdict, under its words where the dialog's title does not say them.
  function group(verdict, hits) {
    const rows = node("ol");
    rows.dataset.verdict = verdict;
    rows.append(...hits.map(card));
    const heading = title.textContent === words[verdict] ? [] : [node("h3", words[verdict])];
    return hits.length ? [...heading, rows] : [];
  }

  function card(hit) {
    const item = node("li");
    const about = node("div");
    about.append(node("p", hit.title, { dir: "auto" }));
    if (hit.said) about.append(node("p", hit.said, { className: "small said" }));
    if (hit.offers.every((offer) => offer.availability === "out_of_stock")) {
      item.className = "gone";
      about.append(node("p", words.stock.out_of_stock, { className: "small sold" }));
    }
    const seen = new Set();
    for (const offer of hit.offers) {
      if (seen.has(offer.store) || seen.size === 3) continue;
      seen.add(offer.store);
      const line = node("div", "", { className: "offer" });
      const price = node("p", `${offer.store_title}: ${money(offer.price)}${offer.converted ? ` (≈ ${money(offer.converted)})` : ""}`);
      if (Number(offer.cashback.amount)) {
        const label = offer.cashback.up_to ? words.upTo : words.back;
        price.append(node("br"), node("span", `${label} ${money(offer.cashback)}`, { className: "small" }));
      }
      if (offer.availability !== "in_stock") price.append(node("br"), node("span", words.stock[offer.availability], { className: "small" }));
      if (offer.disclosure) price.append(node("br"), node("span", offer.disclosure, { className: "small" }));
      const terms = node("details", "", { className: "small terms", hidden: true });
      Object.assign(terms.dataset, { store: offer.store, depends: offer.depends_on.map((code) => words.depends[code]).join(", ") });
      line.append(price, way(offer));
      about.append(line);
      if (Number(offer.cashback.amount)) about.append(terms);
    }
    item.append(node("img", "", { src: new URL(hit.image, base).href, alt: "", loading: "lazy" }), about);
    return item;
  }

  // What the stores pay and what to do for a purchase to count, folded under each offer once it is here.
  async function tell() {
    const folded = [...list.querySelectorAll(".terms")];
    const names = [...new Set(folded.map((one) => one.dataset.store))];
    if (!names.length) return;
    const query = new URLSearchParams([...names.map((name) => ["store", name]), ["lang", language]]);
    let told;
    try {
      const response = await fetch(new URL(`api/programs?${query}`, base));
      told = response.ok ? (await response.json()).programs : [];
    } catch { return; } // the answer stands without it
    for (const one of folded) {
      const facts = told.find((each) => each.store === one.dataset.store);
      if (!facts || !facts.pays) continue;
      const { depends } = one.dataset;
      const sentences = [
        ...(depends ? [words.dependsOn.replace("{parts}", depends)] : []), ...(pass || facts.signed_in ? [] : [facts.sign_in]),
        ...(facts.rates.length > 1 ? facts.rates.map((rate) => rate.text) : []), ...facts.timing, ...facts.notes,
        ...facts.steps.filter((step) => step !== facts.sign_in),
      ];
      const rows = node("ul");
      rows.append(...sentences.map((text) => node("li", text)));
      one.append(node("summary", `${words.back} ${facts.headline}: ${words.terms}`), rows);
      one.hidden = false;
    }
  }

  // What went wrong and what to do, in the visitor's language, and a button that does it again.
  function failed(said, file, detail = "") {
    title.textContent = said;
    const again = node("button", words.again, { type: "button" });
    again.addEventListener("click", () => search(file));
    list.replaceChildren(...(detail ? [node("p", detail, { className: "small", lang: "en" })] : []), again);
  }

  // The answer to a photo, or once more to that of an earlier search: {photo} or {search_id}. Rejects with {said, detail}
  // of what went wrong.
  async function ask({ photo, search_id = "" }) {
    const body = new FormData();
    if (photo) body.append("photo", photo, "photo.jpg");
    else body.append("search_id", search_id);
    body.append("limit", "6");
    const signal = AbortSignal.timeout(SLOW_MS);
    const headers = { "Lensback-Browser": own, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const response = await fetch(new URL("api/search", base), { method: "POST", body, headers, signal })
      .catch((error) => { throw { said: error.name === "TimeoutError" ? words.slow : words.offline }; });
    const answer = await response.json().catch(() => null); // cut off, or the page of a proxy
    if (!response.ok) {
      const { type = "", message = "" } = (answer && answer.error) || {};
      const said = Object.hasOwn(words.failures, type) ? words.failures[type] : words.statuses[response.status];
      throw { said: said || words.failed, detail: String(message) };
    }
    if (!answer || !Array.isArray(answer.hits)) throw { said: words.failed };
    return answer;
  }

  function show(answer) {
    title.textContent = words[answer.verdict];
    const said = (hit) => ({ ...hit, said: answer.calibrated ? words.likelihood.find(([least]) => hit.probability >= least)[1] : "" });
    const hits = answer.hits.map(said);
    const told = answer.verdict === "similar" ? words.closest : words.tips;
    const advice = answer.verdict === "exact" ? [] : [node("p", told, { className: "small" })];
    list.replaceChildren(...advice, ...group("exact", hits.filter((hit) => hit.exact)), ...group("similar", hits.filter((hit) => !hit.exact)));
    tell();
    host.dispatchEvent(new CustomEvent("lensback:answer", { bubbles: true, composed: true, detail: answer }));
  }

  const gist = (answer) => JSON.stringify([answer.verdict, answer.hits.map((hit) => hit.product_id)]);

  async function search(file) {
    const mine = latest = {}; // a search that another one overtook says nothing any more
    title.textContent = words.busy;
    list.replaceChildren();
    host.style.colorScheme = theme();
    if (!dialog.open) dialog.showModal();
    const [photo, member] = await Promise.all([smaller(file), passOf()]);
    if (latest !== mine) return;
    pass = member;
    let answer;
    try {
      answer = await ask({ photo });
    } catch ({ said = words.failed, detail }) {
      if (latest === mine) failed(said, file, detail);
      return;
    }
    if (latest !== mine) return;
    show(answer);
    // Words in the photo that were not read in time: asked for by the answer's id, and shown where they say something else.
    for (const wait of HEARD_MS) {
      if (!answer.reading) return;
      await new Promise((done) => { setTimeout(done, wait); });
      if (latest !== mine || !dialog.open) return;
      const next = await ask({ search_id: answer.search_id }).catch(() => null);
      if (latest !== mine || !next) return;
      if (gist(next) !== gist(answer)) show(next);
      answer = next;
    }
  }

  open.addEventListener("click", () => input.click());
  close.addEventListener("click", () => dialog.close());
  input.addEventListener("change", () => { if (input.files[0]) search(input.files[0]); input.value = ""; });
})();
