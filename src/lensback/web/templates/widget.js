// "Find by photo" for any page: <script src="https://find.example.com/static/widget.js" data-key="pk_…" async></script>
// Draws a button where the script stands, asks the API from the visitor's browser, shows the answer in a dialog.
// Everything lives in a shadow root: the host page's styles and ours do not meet.
"use strict";

(() => {
  const script = document.currentScript;
  const base = new URL("/", script.src).href;
  const key = script.dataset.key || "";
  const WORDS = {{ words | tojson }};
  const asked = (script.dataset.language || document.documentElement.lang || navigator.language).split("-")[0];
  const language = asked in WORDS ? asked : "en";
  const words = WORDS[language];

  const STYLE = `
    :host { all: initial; display: inline-block; font: 16px/1.45 system-ui, sans-serif; color-scheme: light dark; }
    button, a.go { font: inherit; font-weight: 600; border: 0; border-radius: 10px; padding: .55em 1.1em; cursor: pointer;
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
    .small { font-size: .85em; opacity: .75; }`;

  const node = (tag, text = "", fields = {}) => Object.assign(document.createElement(tag), { textContent: text }, fields);
  const host = node("span");
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
  const list = node("ol");
  head.append(title, close);
  dialog.append(head, list);
  root.append(open, input, dialog);
  script.after(host);

  const money = (amount) => new Intl.NumberFormat(language, {
    style: "currency", currency: amount.currency, minimumFractionDigits: Number(amount.amount) % 1 ? 2 : 0,
  }).format(Number(amount.amount));

  function card(hit) {
    const item = node("li");
    const about = node("div");
    about.append(node("p", hit.title));
    const seen = new Set();
    for (const offer of hit.offers) {
      if (seen.has(offer.store) || seen.size === 3) continue;
      seen.add(offer.store);
      const line = node("div", "", { className: "offer" });
      const price = node("p", `${offer.store_title}: ${money(offer.price)}`);
      if (Number(offer.cashback.amount)) {
        const label = offer.cashback.up_to ? words.upTo : words.back;
        price.append(node("br"), node("span", `${label} ${money(offer.cashback)}`, { className: "small" }));
      }
      if (offer.disclosure) price.append(node("br"), node("span", offer.disclosure, { className: "small" }));
      const go = node("a", words.go, {
        className: "go", href: new URL(offer.link, base).href, target: "_blank", rel: "nofollow sponsored noopener",
      });
      line.append(price, go);
      about.append(line);
    }
    item.append(node("img", "", { src: new URL(hit.image, base).href, alt: "", loading: "lazy" }), about);
    return item;
  }

  async function search(file) {
    title.textContent = words.busy;
    list.replaceChildren();
    if (!dialog.open) dialog.showModal();
    const body = new FormData();
    body.append("photo", file);
    body.append("limit", "6");
    try {
      const headers = key ? { Authorization: `Bearer ${key}` } : {};
      const response = await fetch(new URL("api/search", base), { method: "POST", body, headers });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error.message);
      title.textContent = words[answer.verdict];
      list.replaceChildren(...answer.hits.map(card));
      host.dispatchEvent(new CustomEvent("lensback:answer", { bubbles: true, composed: true, detail: answer }));
    } catch {
      title.textContent = words.failed;
    }
  }

  open.addEventListener("click", () => input.click());
  close.addEventListener("click", () => dialog.close());
  input.addEventListener("change", () => { if (input.files[0]) search(input.files[0]); input.value = ""; });
})();
