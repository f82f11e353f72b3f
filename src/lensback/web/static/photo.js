// The photo in its window: as large as fits, zoomed by buttons, keys, wheel and two fingers, with a dot for each thing.
// Things whose dots would lie on each other share one, which opens a sheet of small crops. window.makePhoto(pick).
"use strict";

window.makePhoto = (pick) => {
  const at = (id) => document.getElementById(id);
  const room = at("window");
  const frame = at("frame");
  const shown = at("shown");
  const dots = at("dots");
  const sheet = at("sheet");
  const MOST = 6; // times as large
  const TARGET_PX = 44;
  let zoom = 1;
  let things = []; // {box: [x0, y0, x1, y1], text: "x0,y0,x1,y1", label}
  let pinch = null;
  const fingers = new Map();

  function fit() {
    if (!shown.naturalWidth || !room.clientWidth) return;
    const scale = Math.min(room.clientWidth / shown.naturalWidth, room.clientHeight / shown.naturalHeight);
    frame.style.width = `${Math.floor(shown.naturalWidth * scale * zoom)}px`;
    frame.dataset.sized = "";
    room.toggleAttribute("data-zoomed", zoom > 1);
    at("closer").disabled = zoom >= MOST;
    at("farther").disabled = zoom <= 1;
    place();
  }

  // Zooms so that the point under (x, y) of the screen stays where it is; without one the middle of the window does.
  function to(value, x, y) {
    const next = value < 1.05 ? 1 : Math.min(value, MOST);
    if (next === zoom) return;
    const area = room.getBoundingClientRect();
    const [px, py] = x === undefined ? [area.width / 2, area.height / 2] : [x - area.left, y - area.top];
    const before = frame.getBoundingClientRect();
    const fx = (px + area.left - before.left) / before.width;
    const fy = (py + area.top - before.top) / before.height;
    zoom = next;
    fit();
    const after = frame.getBoundingClientRect();
    room.scrollLeft += after.left + fx * after.width - px - area.left;
    room.scrollTop += after.top + fy * after.height - py - area.top;
  }

  const overlap = (a, b) => Math.abs(a.x - b.x) < TARGET_PX && Math.abs(a.y - b.y) < TARGET_PX;

  // Groups of things, each with the middle of its dot: no two dots lie on each other, none leaves the photo.
  function groups() {
    const { clientWidth: width, clientHeight: height } = frame;
    const inside = (value, side) => Math.min(Math.max(value, TARGET_PX / 2), Math.max(side - TARGET_PX / 2, side / 2));
    const middle = (of) => ({
      of,
      x: inside(of.reduce((sum, one) => sum + one.box[0] + one.box[2], 0) / of.length / 2 * width, width),
      y: inside(of.reduce((sum, one) => sum + one.box[1] + one.box[3], 0) / of.length / 2 * height, height),
    });
    let found = things.map((one) => middle([one]));
    for (let at = 0; at < found.length; at += 1) {
      const other = found.findIndex((one, j) => j > at && overlap(one, found[at]));
      if (other < 0) continue;
      const both = middle([...found[at].of, ...found[other].of]);
      found = [both, ...found.filter((_one, j) => j !== at && j !== other)];
      at = -1; // the joint dot may lie on another one
    }
    return { found, width, height };
  }

  function place() {
    const focused = document.activeElement && document.activeElement.dataset.box;
    const { found, width, height } = groups();
    dots.replaceChildren(...found.map(({ of, x, y }) => {
      const dot = document.createElement("button");
      const label = of.length === 1 ? of[0].label : dots.dataset.many.replace("{n}", of.length);
      Object.assign(dot, { type: "button", className: "dot", title: label, textContent: of.length === 1 ? "" : of.length });
      dot.setAttribute("aria-label", of.length === 1 ? label : `${label}: ${of.map((one) => one.label).join(", ")}`);
      dot.classList.toggle("many", of.length > 1);
      dot.dataset.boxes = of.map((one) => one.text).join(" ");
      if (of.length === 1) dot.dataset.box = of[0].text;
      Object.assign(dot.style, { left: `${x / width * 100}%`, top: `${y / height * 100}%` });
      dot.addEventListener("click", () => (of.length === 1 ? pick(of[0].text) : choose(of)));
      return dot;
    }));
    if (focused) [...dots.children].find((one) => one.dataset.box === focused)?.focus({ preventScroll: true });
  }

  function choose(of) {
    at("sheet-things").replaceChildren(...of.map((one) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "thing" });
      button.dataset.box = one.text;
      button.append(cropped(one.box), one.label);
      button.addEventListener("click", () => { sheet.close(); pick(one.text); });
      item.append(button);
      return item;
    }));
    sheet.showModal();
  }

  function cropped([x0, y0, x1, y1]) {
    const canvas = document.createElement("canvas");
    const [w, h] = [(x1 - x0) * shown.naturalWidth, (y1 - y0) * shown.naturalHeight];
    const scale = 192 / Math.max(w, h, 1);
    canvas.width = Math.max(1, Math.round(w * scale));
    canvas.height = Math.max(1, Math.round(h * scale));
    canvas.setAttribute("aria-hidden", "true");
    canvas.getContext("2d").drawImage(shown, x0 * shown.naturalWidth, y0 * shown.naturalHeight, w, h, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  const distance = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y);
  const between = ([a, b]) => [(a.x + b.x) / 2, (a.y + b.y) / 2];
  room.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const two = [...fingers.values()];
    pinch = two.length === 2 ? { apart: distance(two), zoom, middle: between(two) } : null;
  });
  room.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (!pinch) return;
    const two = [...fingers.values()];
    const [x, y] = between(two);
    to(pinch.zoom * distance(two) / pinch.apart, x, y);
    room.scrollLeft -= x - pinch.middle[0];
    room.scrollTop -= y - pinch.middle[1];
    pinch.middle = [x, y];
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
    room.addEventListener(name, (event) => { fingers.delete(event.pointerId); if (fingers.size < 2) pinch = null; });
  }
  room.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    to(zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2), event.clientX, event.clientY);
  }, { passive: false });
  at("closer").addEventListener("click", () => to(zoom * 1.6));
  at("farther").addEventListener("click", () => to(zoom / 1.6));
  at("sheet-close").addEventListener("click", () => sheet.close());
  new ResizeObserver(fit).observe(room);
  shown.addEventListener("load", () => { zoom = 1; fit(); });

  return { things(list) { things = list; place(); }, fit };
};
