"use strict";

// ---- slices: which layers are seen ------------------------------------------------------------------------

(() => {
  const stack = document.querySelector(".slices");
  const layers = document.getElementById("layers");
  if (!layers) return;
  const junction = layers.querySelector("[name=junction]");
  const wanted = { structure: true, field: false }; // the boundary hides what a field shows, until it is asked for
  layers.addEventListener("change", ({ target }) => {
    const ground = layers.querySelector("[name=ground]:checked");
    const kind = ["phases", "particles"].includes(ground.value) ? "structure" : "field";
    if (target === junction) wanted[kind] = junction.checked;
    else if (junction) junction.checked = wanted[kind];
    stack.className = `slices show-${ground.value}${junction?.checked ? " show-junction" : ""}`;
  });
})();

// ---- 3D view ----------------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
const floats = async (text) => new Float32Array(await inflate(text));
const integers = async (text) => new Int32Array(await inflate(text));

async function loadPlotly() {
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await inflate(byId("plotly").textContent));
  document.head.append(script);
  script.remove(); // it has run; its text need not stay
}

async function unpack(data) {
  const scene = { ...data, pad: 0.01 * Math.max(...data.extent) };
  for (const key of ["vertices", "centre", "diameter"]) scene[key] = await floats(data[key]);
  for (const key of ["triangles", "owner", "node", "contacts"]) scene[key] = await integers(data[key]);
  scene.properties = await Promise.all(data.properties.map(async (p) => (
    { ...p, values: await floats(p.values), dead: p.dead ? await integers(p.dead) : null })));
  scene.critical = await Promise.all(Object.entries(data.critical).map(async ([carrier, c]) => (
    { ...c, carrier, centre: await floats(c.centre), radius: await floats(c.radius), share: await floats(c.share) })));
  const vertices = scene.vertices.length / 3;
  scene.columns = [0, 1, 2].map((axis) => Float32Array.from({ length: vertices }, (_, v) => scene.vertices[3 * v + axis]));
  return scene;
}

const round = (value) => {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toExponential(2).replace("e", " × 10^").replace("+", "").replaceAll("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
};
const isDead = (property, p) => property.dead !== null && property.dead[p] >= 0;
const withUnit = (property, p) => {
  const value = property.values[p];
  if (property.kind === "category") return property.names[value] ?? "–";
  if (isDead(property, p)) return `none, ${property.reasons[property.dead[p]]}`;
  return Number.isFinite(value) ? `${round(value)} ${property.unit}`.trim() : "none";
};
const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

// Position of a value on the colour scale, NaN where it has none.
function scaled(property) {
  if (property.kind === "category") {
    const last = Math.max(1, property.names.length - 1);
    return property.values.map((value) => value / last);
  }
  const f = property.log ? Math.log : (v) => v;
  const [low, high] = [f(property.low), f(property.high)];
  if (high <= low) return property.values.map((value) => value - value + 0.5);
  const middle = property.middle === null ? (low + high) / 2 : f(property.middle);
  const within = (value) => Math.min(high, Math.max(low, f(value)));
  return property.values.map((value) => {
    const at = within(value);
    return at < middle ? 0.5 * (at - low) / (middle - low) : 0.5 + 0.5 * (at - middle) / (high - middle);
  });
}

function colourscale(property) {
  const colours = property.kind === "category" ? property.colours : property.stops;
  if (property.kind !== "category") return colours.map((colour, i) => [i / (colours.length - 1), colour]);
  if (colours.length === 1) return [[0, colours[0]], [1, colours[0]]];
  // steps: each category keeps one colour around its place
  const last = colours.length - 1;
  return colours.flatMap((colour, i) => [[Math.max(0, (i - 0.5) / last), colour], [Math.min(1, (i + 0.5) / last), colour]]);
}

function traces(scene, state) {
  const property = scene.properties[state.property];
  const place = scaled(property);
  const limit = state.cut * scene.extent[state.axis];
  const kept = (p) => scene.centre[3 * p + state.axis] <= limit;
  const kind = (p) => (isDead(property, p) ? "dead" : Number.isNaN(place[p]) ? "missing" : "known");
  const name = scene.properties.find((p) => p.column === "phase");
  const texts = Array.from(scene.node, (node, p) => [
    `<b>${name ? escaped(name.names[name.values[p]]) : "particle"} ${node}</b>`,
    `diameter ${round(scene.diameter[p])} µm`,
    property.column === "phase" ? "" : `${escaped(property.label)}: ${withUnit(property, p)}`,
  ].filter(Boolean).join("<br>"));
  return [
    ...terminalTraces(scene),
    ...surfaceTraces(scene, state, property, place, kept, kind, texts),
    ...graphTraces(scene, state, property, place, kept, kind, texts),
    ...criticalTraces(scene, state),
  ];
}

// A frame around each face at which a carrier enters or leaves; the legend says whose it is.
function terminalTraces(scene) {
  return scene.terminals.map(({ face, colour }) => {
    const axis = "xyz".indexOf(face[0]);
    const at = face[1] === "+" ? scene.extent[axis] + scene.pad : -scene.pad; // clear of the surfaces cut there
    const [a, b] = [0, 1, 2].filter((other) => other !== axis);
    const ring = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]].map(([u, v]) => {
      const point = [0, 0, 0];
      [point[axis], point[a], point[b]] = [at, ...[[u, a], [v, b]].map(([end, d]) => (end ? scene.extent[d] + scene.pad : -scene.pad))];
      return point;
    });
    const [x, y, z] = [0, 1, 2].map((d) => ring.map((point) => point[d]));
    return { type: "scatter3d", mode: "lines", x, y, z, hoverinfo: "skip", line: { color: colour, width: 6 } };
  });
}

function surfaceTraces(scene, state, property, place, kept, kind, texts) {
  const chosen = { known: [[], [], []], dead: [[], [], []], missing: [[], [], []] };
  for (let t = 0; t < scene.triangles.length; t += 3) {
    const particle = scene.owner[scene.triangles[t]];
    if (!kept(particle)) continue;
    const list = chosen[kind(particle)];
    for (let corner = 0; corner < 3; corner += 1) list[corner].push(scene.triangles[t + corner]);
  }
  const [x, y, z] = scene.columns;
  const shared = {
    type: "mesh3d", x, y, z, hoverinfo: "text", text: Array.from(scene.owner, (p) => texts[p]),
    visible: state.surface, showscale: false, flatshading: false,
    opacity: state.critical.size ? 0.07 : 1, // so that contacts deep inside are seen
    lighting: { ambient: 0.62, diffuse: 0.68, specular: 0.08, roughness: 0.8, fresnel: 0.05 },
    lightposition: { x: 1e5, y: -1e5, z: 2e5 },
  };
  const indices = ([i, j, k]) => ({ i: Int32Array.from(i), j: Int32Array.from(j), k: Int32Array.from(k) });
  return [
    { ...shared, ...indices(chosen.known), intensity: Float32Array.from(scene.owner, (p) => (kind(p) === "known" ? place[p] : 0)),
      cmin: 0, cmax: 1, colorscale: colourscale(property) },
    { ...shared, ...indices(chosen.dead), color: scene.dead },
    // what cannot react must not hide what does
    { ...shared, ...indices(chosen.missing), color: scene.missing, opacity: property.without ? 0.07 : shared.opacity },
  ].filter((trace) => trace.i.length);
}

function graphTraces(scene, state, property, place, kept, kind, texts) {
  if (!state.graph) return [];
  const column = (axis) => (p) => scene.centre[3 * p + axis];
  const line = [[], [], []];
  for (let c = 0; c < scene.contacts.length; c += 2) {
    const [a, b] = [scene.contacts[c], scene.contacts[c + 1]];
    if (kept(a) && kept(b)) [0, 1, 2].forEach((axis) => line[axis].push(column(axis)(a), column(axis)(b), null));
  }
  const all = Array.from(scene.node.keys()).filter(kept);
  const sorted = Float32Array.from(scene.diameter).sort();
  const largest = sorted[Math.floor(0.95 * (sorted.length - 1))] || 1;
  const spheres = (particles, marker) => ({
    type: "scatter3d", mode: "markers", x: particles.map(column(0)), y: particles.map(column(1)), z: particles.map(column(2)),
    text: particles.map((p) => texts[p]), hoverinfo: "text",
    marker: { size: particles.map((p) => 4 + 12 * Math.min(1, (scene.diameter[p] || 0) / largest)), line: { width: 0 }, ...marker },
  });
  const [shown, dead, missing] = ["known", "dead", "missing"].map((name) => all.filter((p) => kind(p) === name));
  return [
    { type: "scatter3d", mode: "lines", x: line[0], y: line[1], z: line[2], hoverinfo: "skip", line: { color: "#7d8796", width: 1.5 } },
    spheres(shown, { color: shown.map((p) => place[p]), cmin: 0, cmax: 1, colorscale: colourscale(property) }),
    spheres(dead, { color: scene.dead }),
    spheres(missing, { color: scene.missing }),
  ].filter((trace) => trace.x.length);
}

// The contacts on which a carrier's current depends most, numbered as in their table.
function criticalTraces(scene, state) {
  return scene.critical.filter(({ carrier }) => state.critical.has(carrier)).map(({ carrier, colour, regions, centre, radius, share }) => {
    const shown = Array.from(regions.keys()).filter((c) => centre[3 * c + state.axis] <= state.cut * scene.extent[state.axis]);
    const column = (axis) => shown.map((c) => centre[3 * c + axis]);
    return {
      type: "scatter3d", mode: "markers+text", x: column(0), y: column(1), z: column(2),
      text: shown.map((c) => String(c + 1)), textposition: "top center", textfont: { size: 13, color: colour, weight: 700 },
      hovertext: shown.map((c) => `<b>critical ${escaped(carrier)} contact ${c + 1}</b><br>regions ${regions[c]}<br>neck radius ${round(radius[c])} µm`
        + `<br>${round(100 * share[c])} % of the dissipation`), hoverinfo: "text",
      marker: { symbol: "diamond", size: 8, color: colour, line: { color: "#fff", width: 1 } },
    };
  }).filter((trace) => trace.x.length);
}

// The legend in place of plotly's colour bar, so that it prints and lists what has no value.
function legend(scene, property) {
  const box = byId("view-scale");
  box.textContent = "";
  const add = (tag, className, text = "", parent = box) => {
    const element = parent.appendChild(document.createElement(tag));
    element.className = className;
    element.textContent = text;
    return element;
  };
  const entry = (colour, text, shape = "swatch") => {
    const item = add("span", "entry");
    const mark = add("span", shape, "", item);
    if (shape === "frame") mark.style.borderColor = colour;
    else mark.style.background = colour;
    item.append(text);
  };
  const tally = (test) => property.values.reduce((sum, value) => sum + test(value), 0);
  add("b", "", property.unit ? `${property.label}, ${property.unit}` : property.label);
  if (property.kind === "category") {
    property.names.forEach((name, i) => entry(property.colours[i], `${name} (${tally((v) => v === i)})`));
  } else if (tally((v) => !Number.isNaN(v))) {
    const scale = add("span", "scale");
    add("div", "ramp", "", scale).style.background = `linear-gradient(90deg, ${property.stops.join(",")})`;
    const ends = add("div", "ends", "", scale);
    const middle = property.middle ?? (property.log ? Math.sqrt(property.low * property.high) : (property.low + property.high) / 2);
    [`≤ ${round(property.low)}`, round(middle), `≥ ${round(property.high)}`].forEach((text) => add("span", "", text, ends));
    if (property.log) add("span", "quiet", "logarithmic");
  }
  const missing = tally((v) => Number.isNaN(v));
  if (missing) entry(scene.missing, `${property.without ?? "not reached or not known"} (${missing})`);
  if (property.dead) {
    const counts = property.reasons.map((reason, i) => `${reason} ${property.dead.filter((v) => v === i).length}`);
    entry(scene.dead, `dead (${property.dead.filter((v) => v >= 0).length}): ${counts.join(", ")}`);
  }
  scene.terminals.forEach(({ colour, text }) => entry(colour, text, "frame"));
}

// Round numbers from 0 to a length, at most seven.
function ticks(length) {
  const power = 10 ** Math.floor(Math.log10(length / 5));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => length / s <= 6);
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => i * step);
}

async function showView() {
  const box = byId("view");
  if (typeof DecompressionStream === "undefined") {
    box.firstElementChild.textContent = "The 3D view needs a browser of 2023 or later; everything else on this page does not.";
    return;
  }
  const scene = await unpack(JSON.parse(byId("view-data").textContent));
  await loadPlotly();
  box.textContent = "";
  const state = { property: 0, surface: true, graph: false, critical: new Set(), axis: 2, cut: 1 };
  const preferred = ["predicted_activity", "activity", "equivalent_diameter"].map((name) => scene.properties.findIndex((p) => p.column === name)).find((i) => i >= 0);
  if (preferred !== undefined) state.property = preferred;
  byId("view-property").value = state.property;
  // true proportions, and an elongated volume fits as well
  const lengths = scene.extent.map((length) => length + 4 * scene.pad);
  const unit = Math.sqrt(2.4) / Math.hypot(...lengths);
  const axis = (d, down) => {
    const ends = [-2 * scene.pad, scene.extent[d] + 2 * scene.pad];
    return {
      title: { text: `${"xyz"[d]}, µm` }, range: down ? ends.reverse() : ends, tickvals: ticks(scene.extent[d]),
      backgroundcolor: "#fff", gridcolor: "#e3e6ea", zerolinecolor: "#e3e6ea", showspikes: false,
    };
  };
  const distance = Math.max(1, 1.1 * box.clientHeight / box.clientWidth); // all of it is seen in a narrow window too
  const layout = {
    margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "stay", font: { family: "system-ui, sans-serif", size: 12, color: "#1c2330" },
    scene: {
      aspectmode: "manual", aspectratio: { x: lengths[0] * unit, y: lengths[1] * unit, z: lengths[2] * unit },
      camera: { eye: { x: 1.2 * distance, y: -1.3 * distance, z: 0.8 * distance }, center: { x: 0, y: 0, z: -0.12 }, projection: { type: "perspective" } },
      // z points down as in the slices, and y with it: turned, not mirrored
      xaxis: axis(0, false), yaxis: axis(1, true), zaxis: axis(2, true),
    },
    hoverlabel: { align: "left" },
  };
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["hoverClosest3d", "resetCameraLastSave3d"] };
  const draw = () => {
    legend(scene, scene.properties[state.property]);
    return Plotly.react(box, traces(scene, state), layout, config);
  };
  await draw();
  const on = (id, event, change) => byId(id).addEventListener(event, ({ target }) => { change(target); draw(); });
  on("view-property", "change", (t) => { state.property = Number(t.value); });
  on("view-surface", "change", (t) => { state.surface = t.checked; });
  on("view-graph", "change", (t) => { state.graph = t.checked; });
  document.getElementsByName("critical").forEach((box) => box.addEventListener("change", () => {
    if (box.checked) state.critical.add(box.value);
    else state.critical.delete(box.value);
    draw();
  }));
  on("view-axis", "change", (t) => { state.axis = Number(t.value); });
  on("view-cut", "change", (t) => { state.cut = t.value / 1000; });
  document.documentElement.dataset.view = "drawn";
}

if (byId("view")) {
  showView().catch((error) => {
    byId("view").innerHTML = '<p class="wait">The 3D view could not be drawn: this browser has no WebGL or too little memory.</p>';
    console.error(error);
  });
}
