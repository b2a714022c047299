"use strict";
// Two drawings of the same layers, of which the style shows the one that fits. In each, one layer can be reached by Tab
// and the others from it by arrows. The titles of the first become the text of the panel.
const layers = [...document.querySelectorAll(".layer")];
const links = [...document.querySelectorAll(".link")];
const panel = document.getElementById("details");
const told = new Map();
for (const title of document.querySelectorAll(".layer > title")) {
  told.set(title.parentElement.dataset.place, title.textContent);
  title.remove();
}
const kept = new Map(); // the layer that Tab reaches, by drawing
for (const layer of layers) {
  layer.setAttribute("role", "img");
  layer.setAttribute("aria-label", told.get(layer.dataset.place).replaceAll("\n", "; "));
  layer.setAttribute("tabindex", kept.has(layer.ownerSVGElement) ? "-1" : "0");
  if (!kept.has(layer.ownerSVGElement)) kept.set(layer.ownerSVGElement, layer);
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function show(place) {
  for (const layer of layers) layer.classList.toggle("chosen", layer.dataset.place === place);
  for (const link of links) link.classList.toggle("chosen", [link.dataset.from, link.dataset.to].includes(place));
  const [[name, kind], ...rest] = told.get(place).split("\n").map((line) => {
    const at = line.indexOf(": ");
    return [line.slice(0, at), line.slice(at + 2)].map((text) => element("bdi", text));
  });
  const rows = rest.map(([what, value]) => element("div", element("dt", what), element("dd", value)));
  panel.replaceChildren(element("h1", name, " ", element("span", kind)), element("dl", ...rows));
  document.dispatchEvent(new CustomEvent("layer", { detail: place })); // for what else is in the page
}

function keep(layer) {
  const drawing = layer.ownerSVGElement;
  kept.get(drawing).setAttribute("tabindex", "-1");
  layer.setAttribute("tabindex", "0");
  kept.set(drawing, layer);
  show(layer.dataset.place);
}

const middle = (layer) => {
  const field = layer.querySelector(".field");
  return Number(field.getAttribute("x")) + Number(field.getAttribute("width")) / 2;
};

function neighbour(layer, key) {
  const own = layers.filter((other) => other.ownerSVGElement === layer.ownerSVGElement);
  const lane = (number) => own.filter((other) => Number(other.dataset.lane) === number);
  const number = Number(layer.dataset.lane);
  const at = lane(number).indexOf(layer);
  const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: lane(number).length - 1 };
  if (key in steps) return lane(number)[steps[key]];
  const near = (other) => Math.abs(middle(other) - middle(layer));
  return lane(number + (key === "ArrowDown" ? 1 : -1)).sort((a, b) => near(a) - near(b))[0];
}

function move(layer, key) {
  const next = neighbour(layer, key) ?? layer;
  keep(next);
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
  return next;
}

for (const layer of layers) {
  layer.addEventListener("focus", () => keep(layer));
  layer.addEventListener("click", () => layer.focus());
  layer.addEventListener("pointerenter", () => show(layer.dataset.place));
  layer.addEventListener("pointerleave", () => restore(layer));
  layer.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !/^(Arrow|Home$|End$)/.test(event.key)) return;
    event.preventDefault();
    move(layer, event.key).focus();
  });
}

// A pointer that leaves gives the panel back to the layer that has the focus.
function restore(layer) {
  const focused = kept.get(layer.ownerSVGElement);
  if (document.activeElement === focused) show(focused.dataset.place);
}

for (const button of document.querySelectorAll("[data-key]")) {
  button.addEventListener("click", () => {
    const drawing = [...kept.keys()].find((one) => one.getClientRects().length);
    move(kept.get(drawing), button.dataset.key);
  });
}
