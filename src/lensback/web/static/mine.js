// The shopper's sizes and brands: remembered in this browser if the shopper says so, and offered beside every
// answer that has them. Nothing is left out by them before one is tapped. window.makeMine(form, picked).
"use strict";

window.makeMine = (form, picked) => {
  const KEY = "lensback.mine";
  const MOST = 6; // of each kind; the oldest give way
  const KINDS = ["size", "brand"];
  const at = (id) => document.getElementById(id);
  const words = at("mine").dataset;

  // {size: [...], brand: [...]}, the latest first; null where nothing is to be remembered.
  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) || "null");
      const texts = (list) => (Array.isArray(list) ? list.filter((one) => typeof one === "string" && one).slice(0, MOST) : []);
      return kept && typeof kept === "object" ? { size: texts(kept.size), brand: texts(kept.brand) } : null;
    } catch { return null; }
  }

  // Whether it is kept now.
  function keep(mine) {
    try {
      if (mine) localStorage.setItem(KEY, JSON.stringify(mine));
      else localStorage.removeItem(KEY);
      return true;
    } catch { return false; }
  }

  const alike = (one, other) => one.trim().toLowerCase() === other.trim().toLowerCase();

  // What the filters say now, first.
  function noted(mine) {
    for (const kind of KINDS) {
      const value = form.elements[kind] ? form.elements[kind].value : "";
      if (value) mine[kind] = [value, ...mine[kind].filter((one) => !alike(one, value))].slice(0, MOST);
    }
    return mine;
  }

  function show() {
    const mine = load();
    at("remember").checked = Boolean(mine);
    const all = mine ? KINDS.flatMap((kind) => mine[kind]) : [];
    at("mine-known").hidden = !all.length;
    at("mine-known").firstElementChild.textContent = all.join(" · ");
    const focused = at("yours").contains(document.activeElement) ? document.activeElement.textContent : "";
    const chips = mine ? KINDS.flatMap((kind) => mine[kind].map((value) => chip(kind, value))).filter(Boolean) : [];
    at("yours").replaceChildren(...chips);
    at("yours").hidden = !chips.length;
    if (focused) (chips.find((one) => one.textContent === focused) || form.querySelector("#filters summary")).focus({ preventScroll: true });
  }

  // A button for a remembered value, where the answer has it.
  function chip(kind, value) {
    const choice = form.elements[kind];
    const offered = choice && [...choice.options].find((one) => one.value && alike(one.value, value));
    if (!offered) return null;
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "chip", textContent: value });
    button.setAttribute("aria-label", `${words[kind]}: ${value}`);
    button.setAttribute("aria-pressed", String(choice.value === offered.value));
    button.addEventListener("click", () => {
      choice.value = choice.value === offered.value ? "" : offered.value;
      show();
      picked();
    });
    return button;
  }

  // The switch is no filter: nothing is searched for it.
  at("mine").addEventListener("change", (event) => {
    event.stopPropagation();
    const kept = keep(at("remember").checked ? noted({ size: [], brand: [] }) : null);
    show();
    at("mine-failed").hidden = kept;
  });
  at("forget-mine").addEventListener("click", () => {
    keep({ size: [], brand: [] });
    show();
    at("remember").focus();
  });
  form.addEventListener("change", (event) => {
    const mine = KINDS.includes(event.target.name) && load();
    if (mine && keep(noted(mine))) show();
  });
  show();
  return { show };
};
