"use strict";
// A heading sorts its table by its column: numbers by value, words by letter, missing values last either way.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => {
      const cell = row.cells[head.cellIndex];
      if (cell.className === "none") return null;
      const value = cell.dataset.value;
      return value === undefined ? cell.textContent : Number(value === "inf" ? Infinity : value);
    };
    const keyed = [...body.rows].map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = a < b ? -1 : a > b ? 1 : 0;
      return ascending ? order : -order;
    });
    body.append(...keyed.map(([, row]) => row));
  });
}

function control(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

// What is typed above tables leaves the rows with all these words, numbers being those of layers; boxes in figures that
// lead to other rows fade.
for (const part of document.querySelectorAll(".filtered")) {
  const input = control("input");
  const count = control("output");
  const rows = [...part.querySelectorAll("tbody tr")];
  Object.assign(input, { type: "search", placeholder: "113 weights", autocomplete: "off" });
  const label = control("label", "Filter rows ", input);
  const bar = control("p", label, " ", count);
  bar.className = "filter";
  const summary = part.querySelector(":scope > summary");
  if (summary) summary.after(bar); else part.prepend(bar);
  const has = (row, word) => (/^\d+$/.test(word)
    ? [...row.cells].slice(0, 2).some((cell) => cell.textContent === word)
    : row.textContent.toLowerCase().includes(word));
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => has(row, word));
    for (const link of part.querySelectorAll("svg a")) {
      const row = document.getElementById(link.getAttribute("href").slice(1));
      const { id } = link.parentElement;
      for (const one of part.querySelectorAll(`#${id}, [id^="${id}-"]`)) one.classList.toggle("faded", row.hidden);
    }
    count.value = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
}

// In a figure Tab reaches one box, and arrows the others.
for (const figure of document.querySelectorAll(".figure svg")) {
  const links = [...figure.querySelectorAll("a")];
  links.forEach((link, at) => {
    link.setAttribute("tabindex", at ? "-1" : "0");
    link.addEventListener("keydown", (event) => {
      const next = links[at + { ArrowRight: 1, ArrowLeft: -1 }[event.key]];
      if (!next) return;
      event.preventDefault();
      link.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}

// Buttons make a figure or a drawing larger, which is then moved under the pointer or the finger.
for (const frame of document.querySelectorAll(".figure > div, .canvas")) {
  let factor = 1;
  let width = 0; // as it was
  const zoom = (by) => {
    const svg = [...frame.querySelectorAll("svg")].find((one) => one.getClientRects().length);
    const middle = (frame.scrollLeft + frame.clientWidth / 2) / frame.scrollWidth;
    if (factor === 1) width = svg.getBoundingClientRect().width;
    factor = by ? Math.min(8, Math.max(1, factor * by)) : 1;
    svg.style.width = svg.style.maxWidth = factor > 1 ? `${width * factor}px` : "";
    frame.scrollLeft = middle * frame.scrollWidth - frame.clientWidth / 2;
  };
  const button = (sign, name, by) => {
    const made = control("button", sign);
    Object.assign(made, { type: "button", title: name, onclick: () => zoom(by) });
    made.setAttribute("aria-label", name);
    return made;
  };
  const bar = control("p", button("+", "Larger", 1.5), button("−", "Smaller", 1 / 1.5), button("↺", "As it was", 0));
  bar.className = "zoom";
  frame.before(bar);
}
