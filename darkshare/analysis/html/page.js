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
