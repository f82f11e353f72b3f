// A box over a picture: drawn, moved and resized by fingers, a mouse and the keyboard. window.makeCrop(frame, box, changed).
"use strict";

window.makeCrop = (frame, box, changed) => {
  const LEAST = 0.06; // of width and height: nothing smaller is worth a search
  const STEP = 0.02;
  const SLACK_PX = 8; // a finger that rests moves so far
  let now = [0, 0, 1, 1];
  let name = ""; // of the thing in the box, until it is moved
  let grip = null; // what a pointer does: where it began, with which box, by which corner
  let later = 0;

  for (const corner of ["nw", "ne", "sw", "se"]) {
    const handle = document.createElement("span");
    handle.className = `handle ${corner}`;
    handle.dataset.corner = corner;
    box.append(handle);
  }

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const percent = (value) => `${(value * 100).toFixed(2)}%`;
  const text = () => now.map((value) => value.toFixed(4)).join(",");

  function draw() {
    const [x0, y0, x1, y1] = now;
    Object.assign(box.style, {
      left: percent(x0), top: percent(y0), width: percent(x1 - x0), height: percent(y1 - y0),
    });
    const ends = { x0, y0, x1, y1 };
    const where = box.dataset.where.replace(/\{(\w+)\}/g, (_all, end) => Math.round(ends[end] * 100));
    box.setAttribute("aria-valuetext", name ? `${name}: ${where}` : where);
  }

  function move(start, dx, dy) {
    const [x0, y0, x1, y1] = start;
    const left = clamp(x0 + dx, 0, 1 - (x1 - x0));
    const top = clamp(y0 + dy, 0, 1 - (y1 - y0));
    now = [left, top, left + x1 - x0, top + y1 - y0];
  }

  function resize(start, corner, dx, dy) {
    let [x0, y0, x1, y1] = start;
    if (corner.includes("w")) x0 = clamp(x0 + dx, 0, x1 - LEAST);
    if (corner.includes("e")) x1 = clamp(x1 + dx, x0 + LEAST, 1);
    if (corner.includes("n")) y0 = clamp(y0 + dy, 0, y1 - LEAST);
    if (corner.includes("s")) y1 = clamp(y1 + dy, y0 + LEAST, 1);
    now = [x0, y0, x1, y1];
  }

  // A new box from where the pointer went down to where it is.
  function span(x, y, dx, dy) {
    const ends = [clamp(x, 0, 1), clamp(y, 0, 1), clamp(x + dx, 0, 1), clamp(y + dy, 0, 1)];
    now = [Math.min(ends[0], ends[2]), Math.min(ends[1], ends[3]), Math.max(ends[0], ends[2]), Math.max(ends[1], ends[3])];
  }

  const whole = () => now[2] - now[0] > 0.95 && now[3] - now[1] > 0.95;

  function stop(keep) {
    if (!grip) return;
    const { start, moved } = grip;
    grip = null;
    const small = now[2] - now[0] < LEAST || now[3] - now[1] < LEAST;
    if (!keep || small) now = start;
    draw();
    if (moved && keep && String(start) !== String(now)) changed(text());
  }

  frame.addEventListener("pointerdown", (event) => {
    if (box.hidden || event.button) return;
    if (!event.isPrimary) { stop(false); return; } // a second finger zooms
    const inside = box.contains(event.target);
    const corner = inside ? event.target.dataset.corner : "";
    const area = frame.getBoundingClientRect();
    grip = {
      x: event.clientX, y: event.clientY, start: now, corner, moved: false, new: !corner && (!inside || whole()),
      from: [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height], id: event.pointerId,
    };
    if (!event.target.closest(".dot")) {
      event.preventDefault();
      box.focus({ preventScroll: true });
    }
  });
  frame.addEventListener("pointermove", (event) => {
    if (!grip || event.pointerId !== grip.id) return;
    const [x, y] = [event.clientX - grip.x, event.clientY - grip.y];
    if (!grip.moved && Math.hypot(x, y) < SLACK_PX) return;
    if (!grip.moved) { grip.moved = true; frame.setPointerCapture(event.pointerId); name = ""; }
    const area = frame.getBoundingClientRect();
    const [dx, dy] = [x / area.width, y / area.height];
    if (grip.new) span(...grip.from, dx, dy);
    else if (grip.corner) resize(grip.start, grip.corner, dx, dy);
    else move(grip.start, dx, dy);
    draw();
  });
  frame.addEventListener("pointerup", () => stop(true));
  frame.addEventListener("pointercancel", () => stop(false));
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    if (!(event.key in step)) return;
    event.preventDefault();
    const [dx, dy] = step[event.key];
    name = "";
    if (event.shiftKey) resize(now, "se", dx, dy);
    else move(now, dx, dy);
    draw();
    clearTimeout(later);
    later = setTimeout(() => changed(text()), 500);
  });

  return {
    set(region, label) {
      const next = region.split(",").map(Number);
      if (label || String(next) !== String(now)) name = label; // a failure names nothing
      now = next;
      box.hidden = false;
      draw();
    },
    hide() { box.hidden = true; stop(false); clearTimeout(later); },
  };
};
