"use strict";

/** The tables of findings: which rows are listed, and which of them the pictures show. */
class Findings {
  constructor({ changed, chosen }) {
    this.changed = changed;
    this.rows = [...document.querySelectorAll("[data-row]")].map((row) => ({
      row,
      number: Number(row.dataset.row),
      kind: row.dataset.kind,
      confidence: row.dataset.confidence === undefined ? null : Number(row.dataset.confidence),
      text: row.textContent.toLowerCase(),
      box: row.querySelector("[data-segment]"),
    }));
    this.present = this.rows.filter(({ box }) => box);
    for (const { row, number, box } of this.present) {
      box.addEventListener("change", () => this.update());
      row.addEventListener("click", (event) => {
        if (!event.target.closest("td:first-child")) chosen(number);
      });
    }
    this.listen();
    this.update();
  }

  listen() {
    const on = (id, kind, act) => element(id)?.addEventListener(kind, act);
    if (element("filters")) element("filters").hidden = false;
    for (const id of ["search", "least"]) on(id, "input", () => this.update());
    on("kind", "change", () => this.update());
    on("all", "click", () => this.showAll(true));
    on("none", "click", () => this.showAll(false));
    document.addEventListener("sorted", () => this.sortRows());
  }

  /** List the rows that the filters let through, and tell of what is shown. */
  update() {
    const words = (element("search")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const kind = element("kind")?.value ?? "";
    const least = Number(element("least")?.value ?? 0) / 100;
    for (const each of this.rows) {
      const { row, text, confidence } = each;
      each.listed =
        words.every((word) => text.includes(word)) &&
        (!kind || each.kind === kind) &&
        (confidence === null || confidence >= least);
      row.hidden = !each.listed;
    }
    const shown = this.present.filter(({ listed, box }) => listed && box.checked);
    this.visible = new Set(shown.map(({ number }) => number));
    if (element("least")) element("least-shown").textContent = `${(100 * least).toFixed(1)} %`;
    if (element("count")) element("count").textContent = `${shown.length} of ${this.present.length} shown`;
    this.changed();
  }

  showAll(shown) {
    for (const { listed, box } of this.present) if (listed) box.checked = shown;
    this.update();
  }

  /** Show all listed findings; none if all are shown already. */
  toggleAll() {
    this.showAll(this.present.some(({ listed, box }) => listed && !box.checked));
  }

  /** Switch the n-th finding, counted by number from 1. */
  toggle(n) {
    const numbers = this.present.map(({ number }) => number).sort((a, b) => a - b);
    this.present.find(({ number }) => number === numbers[n - 1])?.box.click();
  }

  /** Take over the order of the sorted tables. */
  sortRows() {
    const place = new Map([...document.querySelectorAll("[data-row]")].map((row, at) => [row, at]));
    for (const list of [this.rows, this.present]) list.sort((a, b) => place.get(a.row) - place.get(b.row));
  }

  /** Number of the shown finding so many rows after another one; null if none is shown. */
  after(number, steps) {
    const numbers = this.present.filter((each) => this.visible.has(each.number)).map((each) => each.number);
    if (!numbers.length) return null;
    const at = numbers.indexOf(number);
    const start = at < 0 && steps < 0 ? 0 : at;
    return numbers[(start + steps + numbers.length) % numbers.length];
  }

  /** Mark the row of a finding, and scroll its table there. */
  mark(number) {
    for (const { row, number: own } of this.rows) {
      if (own !== number) row.removeAttribute("aria-current");
      else {
        row.setAttribute("aria-current", "true");
        const scroller = row.closest(".scroller");
        const head = row.closest("table").tHead.offsetHeight;
        const [above, below] = [row.offsetTop - head, row.offsetTop + row.offsetHeight - scroller.clientHeight];
        scroller.scrollTop = clamp(scroller.scrollTop, below, Math.max(above, below));
      }
    }
  }
}
