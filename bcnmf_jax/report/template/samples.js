"use strict";
(() => {
  const LEVELS = 8; // colours of the style sheet; rarer values of a column are drawn in grey
  const SHADES = 24;
  const REACH = 14; // pixels from a sample at which it is pointed at
  const data = JSON.parse(document.getElementById("samples-data").textContent);
  const byId = (id) => document.getElementById(id);
  const [canvas, plot, tip, ring] = ["canvas", "plot", "tip", "ring"].map(byId);
  const count = data.names.length;

  function decode(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new Uint16Array(bytes.buffer);
  }

  const x = decode(data.x);
  const y = decode(data.y);
  for (const column of data.columns) column.index = decode(column.index);
  for (const program of data.programs) {
    program.values = decode(program.values);
    // Colours end at the 99th percentile, so that a few samples do not take most of them.
    program.top = program.values.slice().sort()[Math.floor(0.99 * (count - 1))] || 65535;
  }
  const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;
  const usage = (program, value) => percent(value / 65535 * program.high);

  // Drawn in a fixed shuffled order, so that no group lies on top of the others.
  const shuffled = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1, seed = 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = seed % (i + 1);
    [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
  }

  const filters = new Map(); // column -> index of the value that is shown
  let visible = shuffled;
  let colour = data.columns[0];
  let chosen = -1;
  let place = null; // where samples lie on the canvas, and which lie in each square of it

  function option(select, value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    select.append(made);
  }

  function control(id, text, fill, change) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.id = id;
    label.htmlFor = id;
    label.textContent = text;
    fill(select);
    select.addEventListener("change", () => change(select.value));
    label.append(select);
    byId("controls").append(label);
  }

  const sources = [...data.columns.filter((c) => c.choose), ...data.programs];
  control("colour", "colour by", (select) => {
    sources.forEach((source, i) => option(select, i, source.name));
  }, (value) => { colour = sources[value]; draw(); });
  data.columns.filter((column) => column.choose).forEach((column, c) => {
    control(`filter-${c}`, `show ${column.name}`, (select) => {
      option(select, -1, "all");
      column.levels.forEach((level, i) => option(select, i, level));
    }, (value) => {
      if (Number(value) < 0) filters.delete(column); else filters.set(column, Number(value));
      visible = shuffled.filter((i) => [...filters].every(([col, level]) => col.index[i] === level));
      point(-1);
      lay();
      draw();
    });
  });
  colour = sources[0];

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Fill colours, and which of them each sample has.
  function shades() {
    if (colour.levels) {
      const fills = colour.levels.slice(0, LEVELS).map((_, i) => style(`--c${i % LEVELS}`));
      return { fills: [...fills, style("--line")], of: (i) => Math.min(colour.index[i], LEVELS - (colour.levels.length <= LEVELS ? 1 : 0)) };
    }
    const stops = ["--low", "--middle", "--high"].map((name) => {
      const hex = parseInt(style(name).slice(1), 16);
      return [hex >> 16, (hex >> 8) & 255, hex & 255];
    });
    const fills = Array.from({ length: SHADES }, (_, s) => {
      const at = 2 * s / (SHADES - 1);
      const from = Math.min(Math.floor(at), 1);
      const mixed = stops[from].map((v, c) => Math.round(v + (stops[from + 1][c] - v) * (at - from)));
      return `rgb(${mixed.join(",")})`;
    });
    return { fills, of: (i) => Math.min(Math.floor(colour.values[i] / colour.top * SHADES), SHADES - 1) };
  }

  function lay() {
    const width = plot.clientWidth;
    const height = plot.clientHeight;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const margin = 16;
    const px = new Float32Array(count);
    const py = new Float32Array(count);
    const squares = new Map();
    const square = (across, up) => Math.floor(across / REACH) * 65536 + Math.floor(up / REACH);
    for (const i of visible) {
      px[i] = margin + x[i] / 65535 * (width - 2 * margin);
      py[i] = height - margin - y[i] / 65535 * (height - 2 * margin);
      const key = square(px[i], py[i]);
      if (!squares.has(key)) squares.set(key, []);
      squares.get(key).push(i);
    }
    place = { width, height, scale, px, py, squares, square };
  }

  function draw() {
    const context = canvas.getContext("2d");
    const { fills, of } = shades();
    const { width, height, scale, px, py } = place;
    const size = Math.max(2.5, Math.min(7, 200 / Math.sqrt(visible.length + 1)));
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.globalAlpha = visible.length > 5000 ? 0.7 : 0.85;
    // Of a program, the samples that use it most come last.
    const order = colour.levels ? visible : Uint32Array.from(visible).sort((a, b) => colour.values[a] - colour.values[b]);
    let last = -1;
    for (const i of order) {
      const shade = of(i);
      if (shade !== last) {
        context.fillStyle = fills[shade];
        last = shade;
      }
      if (size < 4) {
        context.fillRect(Math.round(px[i] - size / 2), Math.round(py[i] - size / 2), size, size);
      } else {
        context.beginPath();
        context.arc(px[i], py[i], size / 2, 0, 7);
        context.fill();
      }
    }
    byId("count").textContent = `${visible.length} of ${count} samples shown.`;
    label();
  }

  function label() {
    const legend = byId("legend");
    legend.replaceChildren();
    const item = (kind, ...parts) => {
      const made = document.createElement("li");
      made.className = kind;
      made.append(...parts);
      legend.append(made);
    };
    const text = (words) => {
      const made = document.createElement("span");
      made.className = "text";
      made.textContent = words;
      return made;
    };
    if (!colour.levels) {
      const ramp = document.createElement("span");
      ramp.id = "ramp";
      item("", text(`usage of ${colour.name}: 0`), ramp, text(`${usage(colour, colour.top)} and more`));
      return;
    }
    const dot = () => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      made.setAttribute("viewBox", "0 0 12 12");
      const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      for (const [name, value] of [["cx", 6], ["cy", 6], ["r", 5]]) circle.setAttribute(name, value);
      made.append(circle);
      return made;
    };
    colour.levels.slice(0, LEVELS).forEach((level, i) => item(`c${i}`, dot(), text(level)));
    if (colour.levels.length > LEVELS) item("others", dot(), text(`${colour.levels.length - LEVELS} rarer values`));
  }

  function point(i) {
    chosen = i;
    tip.hidden = ring.hidden = i < 0;
    if (i < 0) return;
    const name = document.createElement("b");
    name.textContent = data.names[i];
    const lines = data.columns.map((column) => `${column.name}: ${column.levels[column.index[i]]}`);
    if (!colour.levels) lines.push(`${colour.name}: ${usage(colour, colour.values[i])}`);
    tip.replaceChildren(name, ...lines.flatMap((line) => [line, document.createElement("br")]));
    const { px, py, width, height } = place;
    ring.style.left = `${px[i]}px`;
    ring.style.top = `${py[i]}px`;
    const left = px[i] > width / 2;
    const above = py[i] > height / 2;
    tip.style.left = left ? "auto" : `${px[i] + 14}px`;
    tip.style.right = left ? `${width - px[i] + 14}px` : "auto";
    tip.style.top = above ? "auto" : `${py[i] + 14}px`;
    tip.style.bottom = above ? `${height - py[i] + 14}px` : "auto";
  }

  function nearest(across, up) {
    let best = -1;
    let least = REACH * REACH;
    for (let a = -1; a <= 1; a++) {
      for (let b = -1; b <= 1; b++) {
        for (const i of place.squares.get(place.square(across + a * REACH, up + b * REACH)) ?? []) {
          const distance = (place.px[i] - across) ** 2 + (place.py[i] - up) ** 2;
          if (distance < least) [best, least] = [i, distance];
        }
      }
    }
    return best;
  }

  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    point(nearest(event.clientX - box.left, event.clientY - box.top));
  };
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerdown", follow);
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") point(-1);
    if (!step || !visible.length) return;
    event.preventDefault();
    const order = Array.from(visible).sort((a, b) => x[a] - x[b] || a - b);
    const at = order.indexOf(chosen);
    point(order[at < 0 ? 0 : (at + step + order.length) % order.length]);
  });
  canvas.addEventListener("blur", () => point(-1));
  new ResizeObserver(() => { point(-1); lay(); draw(); }).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  lay();
  draw();
})();
