// The layers of the drawing lead to their rows in the tables and back.
const drawing = document.getElementById("drawing");
const ofLayer = new Map(); // the rows, by place in the drawing
for (const row of document.querySelectorAll("tr[data-place]")) {
  const places = row.dataset.place.split(" ").filter(Boolean);
  for (const place of places) ofLayer.set(place, [...(ofLayer.get(place) ?? []), row]);
  if (!places.length) continue;
  const cell = row.querySelector(".number"); // the first one, which is the layer's
  const link = element("a", ...cell.childNodes);
  link.href = "#drawing";
  link.title = "In the drawing";
  link.addEventListener("click", (event) => {
    event.preventDefault();
    location.hash = "drawing"; // at once, since it takes the focus away
    const drawn = layers.filter((layer) => layer.dataset.place === places[0]);
    drawn.find((layer) => layer.getClientRects().length).focus({ preventScroll: true });
  });
  cell.append(link);
  row.addEventListener("pointerenter", () => show(places[0]));
}

function lead(place) {
  for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
  const rows = ofLayer.get(place) ?? [];
  for (const row of rows) row.classList.add("chosen");
  const first = new Map(rows.map((row) => [row.closest("section").id, row]).reverse());
  const links = [...first].map(([section, row]) => {
    const link = element("a", section === "drawing" ? "row of the layer" : "rows of its differences");
    link.href = `#${row.id}`;
    link.addEventListener("click", () => row.closest("details")?.setAttribute("open", ""));
    return link;
  }).reverse();
  const bar = element("p", ...links.flatMap((link) => [link, " "]));
  bar.className = "rows";
  panel.append(bar);
}

document.addEventListener("layer", (event) => lead(event.detail));

// Enter leads from a layer to its row, as a click on the link in the panel does.
drawing.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.closest(".layer")) panel.querySelector(".rows a:last-of-type")?.click();
});
