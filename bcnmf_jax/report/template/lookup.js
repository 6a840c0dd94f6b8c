"use strict";
(() => {
  const MOST = 20;
  const PROGRAMS = 3;
  const field = document.getElementById("lookup-text");
  const found = document.getElementById("lookup-found");
  let data = null;

  function decode(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new Uint16Array(bytes.buffer);
  }

  // Read on the first use: the page itself does not wait for it.
  function load() {
    const read = JSON.parse(document.getElementById("lookup-data").textContent);
    read.lower = read.features.map((name) => name.toLowerCase());
    for (const program of read.programs) {
      const loadings = decode(program.loadings);
      const order = Array.from(loadings.keys()).sort((a, b) => loadings[b] - loadings[a]);
      program.rank = new Uint32Array(order.length);
      order.forEach((feature, place) => { program.rank[feature] = place + 1; });
      program.share = (feature) => loadings[feature] / 65535 * program.high;
    }
    return read;
  }

  const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;

  function cell(row, kind, text) {
    const made = document.createElement(kind);
    made.textContent = text;
    if (kind === "th") made.scope = "row";
    row.append(made);
  }

  function show() {
    const wanted = field.value.trim().toLowerCase();
    for (const row of document.querySelectorAll("tr[data-feature]")) {
      row.classList.toggle("hit", wanted !== "" && row.dataset.feature.toLowerCase().includes(wanted));
    }
    found.replaceChildren();
    if (!wanted) return;
    data ??= load();
    const hits = [];
    data.lower.forEach((name, i) => { if (name.includes(wanted)) hits.push(i); });
    // The name itself first, then names that begin so.
    const distance = (i) => data.lower[i] === wanted ? 0 : data.lower[i].startsWith(wanted) ? 1 : 2;
    hits.sort((a, b) => distance(a) - distance(b) || a - b);
    const note = document.createElement("p");
    note.className = "note";
    const more = hits.length > MOST ? `, the first ${MOST} of them below` : "";
    note.textContent = `${hits.length} of ${data.features.length} features have a name with “${field.value.trim()}”${more}.`;
    found.append(note);
    if (!hits.length) return;
    const table = document.createElement("table");
    for (const i of hits.slice(0, MOST)) {
      const row = table.insertRow();
      cell(row, "th", data.features[i]);
      const held = data.programs.filter((p) => p.share(i) > 0).sort((a, b) => a.rank[i] - b.rank[i]);
      const parts = held.slice(0, PROGRAMS).map(
        (p) => `${p.name}: number ${p.rank[i]} (${percent(p.share(i))})`);
      cell(row, "td", parts.join(", ") || "in no component");
    }
    found.append(table);
  }

  field.addEventListener("input", show);
})();
