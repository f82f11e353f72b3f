// A box over a picture that fingers, a mouse and the keyboard can move. window.makeCrop(frame, box, changed).
"use strict";

window.makeCrop = (frame, box, changed) => {
  const LEAST = 0.06; // of width and height: nothing smaller is worth a search
  const STEP = 0.02;
  let now = [0, 0, 1, 1];
  let grip = null;
  let later = 0;

  for (const corner of ["nw", "ne", "sw", "se"]) {
    const handle = document.createElement("span");
    handle.className = `handle ${corner}`;
    handle.dataset.corner = corner;
    box.append(handle);
  }

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const percent = (value) => `${(value * 100).toFixed(2)}%`;

  function draw() {
    const [x0, y0, x1, y1] = now;
    Object.assign(box.style, {
      left: percent(x0), top: percent(y0), width: percent(x1 - x0), height: percent(y1 - y0),
    });
    const words = now.map((value) => `${Math.round(value * 100)} %`).join(", ");
    box.setAttribute("aria-valuetext", words);
  }

  function move(start, dx, dy) {
    const [x0, y0, x1, y1] = start;
    const w = x1 - x0;
    const h = y1 - y0;
    const left = clamp(x0 + dx, 0, 1 - w);
    const top = clamp(y0 + dy, 0, 1 - h);
    now = [left, top, left + w, top + h];
  }

  function resize(start, corner, dx, dy) {
    let [x0, y0, x1, y1] = start;
    if (corner.includes("w")) x0 = clamp(x0 + dx, 0, x1 - LEAST);
    if (corner.includes("e")) x1 = clamp(x1 + dx, x0 + LEAST, 1);
    if (corner.includes("n")) y0 = clamp(y0 + dy, 0, y1 - LEAST);
    if (corner.includes("s")) y1 = clamp(y1 + dy, y0 + LEAST, 1);
    now = [x0, y0, x1, y1];
  }

  const text = () => now.map((value) => value.toFixed(4)).join(",");

  box.addEventListener("pointerdown", (event) => {
    grip = { x: event.clientX, y: event.clientY, start: now, corner: event.target.dataset.corner };
    box.setPointerCapture(event.pointerId);
    event.preventDefault();
    box.focus({ preventScroll: true });
  });
  box.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const area = frame.getBoundingClientRect();
    const dx = (event.clientX - grip.x) / area.width;
    const dy = (event.clientY - grip.y) / area.height;
    if (grip.corner) resize(grip.start, grip.corner, dx, dy);
    else move(grip.start, dx, dy);
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    box.addEventListener(name, () => {
      if (grip && String(grip.start) !== String(now)) changed(text());
      grip = null;
    });
  }
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    if (!(event.key in step)) return;
    event.preventDefault();
    const [dx, dy] = step[event.key];
    if (event.shiftKey) resize(now, "se", dx, dy);
    else move(now, dx, dy);
    draw();
    clearTimeout(later);
    later = setTimeout(() => changed(text()), 500);
  });

  return {
    set(region) {
      now = region.split(",").map(Number);
      box.hidden = false;
      draw();
    },
    hide() { box.hidden = true; },
  };
};
