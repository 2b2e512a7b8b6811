"use strict";

/** Lets a click on a heading sort a table; rows without a value stay at the end. */
class SortableTable {
  constructor(table) {
    this.table = table;
    this.body = table.tBodies[0];
    this.heads = [...table.tHead.rows[0].cells];
    this.heads.forEach((head, column) => {
      if (!head.classList.contains("unsorted")) this.offer(head, column);
    });
  }

  /** Put a button into a heading, so that the keyboard can sort, too. */
  offer(head, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => this.sort(column));
  }

  /** Sort upwards, or downwards if it is sorted upwards already. */
  sort(column) {
    const down = this.heads[column].getAttribute("aria-sort") === "ascending";
    const rows = [...this.body.rows].map((row) => ({ row, key: sortKey(row.cells[column]) }));
    const empty = (key) => key === "";
    rows.sort((a, b) => {
      if (empty(a.key) || empty(b.key)) return empty(a.key) - empty(b.key);
      const order = compareKeys(a.key, b.key);
      return down ? -order : order;
    });
    this.body.append(...rows.map(({ row }) => row));
    this.heads.forEach((head) => head.removeAttribute("aria-sort"));
    this.heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
    this.table.dispatchEvent(new Event("sorted", { bubbles: true }));
  }
}

/** The value that a cell is sorted by: that of its attribute, the number it begins with, or its text. */
function sortKey(cell) {
  const text = cell ? (cell.dataset.value ?? cell.textContent).trim() : "";
  if (/^(|[-\u2013\u2212]|missing)$/.test(text)) return "";
  const number = /^[-+\u2212]?[\d,]*\.?\d+(e[-+]?\d+)?/i.exec(text);
  if (!number) return text;
  const unit = { k: 1e3, M: 1e6, G: 1e9 }[/^\s?([kMG])(?!\w)/.exec(text.slice(number[0].length))?.[1]] ?? 1;
  return unit * Number(number[0].replaceAll(",", "").replace("\u2212", "-"));
}

/** Numbers come before texts, which are in the order of a dictionary. */
function compareKeys(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}

for (const table of document.querySelectorAll("table.sortable")) new SortableTable(table);
