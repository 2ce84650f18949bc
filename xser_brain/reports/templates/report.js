// Tables sort by a click on the head of a column: up, down, and back as written.
"use strict";

function key(row, column) {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? cell.textContent).trim();
  const number = text.replace("\u2212", "-").match(/^[<>\s]*([+-]?\d+(\.\d+)?)/);
  return { text, number: number ? Number(number[1]) : NaN };
}

// What is empty, or no number among numbers, comes last in either direction.
function compare(first, second, numeric, sign) {
  if (numeric) {
    const [a, b] = [first.number, second.number];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  }
  if (!first.text || !second.text) return !first.text - !second.text;
  return sign * first.text.localeCompare(second.text, "en", { numeric: true });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  // A row goes with those beside it, as a system's figures with the paper's.
  const written = [];
  for (const row of body.rows) {
    if (row.classList.contains("beside") && written.length) written.at(-1).push(row);
    else written.push([row]);
  }
  headers.forEach((header, column) => {
    if (header.classList.contains("still")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null };
      const current = header.getAttribute("aria-sort");
      const order = current ? next[current] : "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      const groups = [...written];
      if (order) {
        header.setAttribute("aria-sort", order);
        const numeric = header.classList.contains("number");
        const sign = order === "ascending" ? 1 : -1;
        groups.sort((first, second) =>
          compare(key(first[0], column), key(second[0], column), numeric, sign));
      }
      body.append(...groups.flat());
    });
  });
}
