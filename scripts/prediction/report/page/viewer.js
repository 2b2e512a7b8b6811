"use strict";

const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];
const NARROWEST_HU = 10;
const element = (id) => document.getElementById(id);

/** Keeps what the three views and the tables show: place, magnification, window, findings. */
class Viewer {
  constructor(data) {
    this.data = data;
    this.volume = new Volume(data);
    const middle = ["x", "y", "z"].map((axis) => [axis, Math.floor(this.volume.voxels[axis] / 2)]);
    this.cursor = Object.fromEntries(middle);
    this.range = [...data.windows[data.window]];
    this.views = [...document.querySelectorAll(".view")].map((each) => new View(each, this));
    this.fit();
    this.findings = new Findings({
      changed: () => this.refresh(),
      chosen: (number) => this.jump(number),
    });
    this.listen();
    const first = data.segments[0];
    this.go(first ? { x: first.column, y: first.row, z: first.slice } : this.cursor).then(() => this.load());
  }

  listen() {
    const fit = () => {
      for (const view of this.views) if (view.drawing.resize()) view.draw();
      this.drawMap();
    };
    const observer = new ResizeObserver(fit);
    for (const { stage } of this.views) observer.observe(stage);
    window.addEventListener("resize", fit); // the pixel ratio may change without the size, on another screen
    window.addEventListener("beforeprint", () => this.draw());
    for (const id of ["masks", "fill", "cross"]) element(id).addEventListener("change", () => this.draw());
    element("larger").addEventListener("click", () => this.zoom(1));
    element("smaller").addEventListener("click", () => this.zoom(-1));
    element("fit").addEventListener("click", () => this.fit());
    for (const button of document.querySelectorAll("[data-window]")) {
      button.addEventListener("click", () => this.chooseWindow(button.dataset.window));
    }
    for (const id of ["centre", "width"]) {
      element(id).addEventListener("change", () =>
        this.setWindow(element("centre").valueAsNumber, element("width").valueAsNumber)
      );
    }
    element("keys").addEventListener("click", () => element("help").showModal());
    element("close").addEventListener("click", () => element("help").close());
    element("workbench").addEventListener("keydown", (event) => this.key(event));
  }

  isOn(id) {
    return element(id).checked;
  }

  /** Segments that the filters and switches let through. */
  shown() {
    return this.data.segments.filter((segment) => this.findings?.visible.has(segment.number));
  }

  /** Put the cursor to voxels {x, y, z}, some or all; of overlapping calls the last takes effect. */
  async go(place) {
    for (const [axis, index] of Object.entries(place)) {
      this.cursor[axis] = clamp(index, 0, this.volume.voxels[axis] - 1);
    }
    this.describe();
    const wanted = this.cursor.z;
    if (!this.volume.levels[wanted]) await this.volume.decode(wanted);
    if (this.cursor.z === wanted) this.draw();
  }

  /** Decode all slices, those near the cursor first; coronal and sagittal views fill up meanwhile. */
  async load() {
    const { levels } = this.volume;
    let drawn = performance.now();
    for (;;) {
      const left = [...levels.keys()].filter((slice) => !levels[slice]);
      if (!left.length) break;
      const away = (slice) => Math.abs(slice - this.cursor.z);
      await this.volume.decode(left.reduce((best, slice) => (away(slice) < away(best) ? slice : best)));
      if (performance.now() - drawn < 300) continue;
      this.draw();
      drawn = performance.now();
    }
    this.draw();
    for (const { stage } of this.views) stage.classList.remove("loading");
    element("workbench").dataset.loaded = this.volume.loaded;
  }

  draw() {
    for (const view of this.views) view.draw();
  }

  describe() {
    for (const view of this.views) view.describe();
  }

  /** Draw anew with other findings. */
  refresh() {
    if (!this.findings) return;
    this.describe();
    this.draw();
    this.drawMap();
  }

  /** Draw the slices of each shown finding along the axial slider, a row for each class. */
  drawMap() {
    const map = element("map");
    const ratio = window.devicePixelRatio || 1;
    [map.width, map.height] = [map.clientWidth * ratio, map.clientHeight * ratio];
    const context = map.getContext("2d");
    const step = map.width / this.data.slices;
    const kinds = [...new Set(this.data.segments.map((s) => s.kind))];
    const high = map.height / Math.max(1, kinds.length);
    for (const { kind, colour, first, last } of this.shown()) {
      context.fillStyle = colour;
      const wide = Math.max(2 * ratio, (last - first + 1) * step);
      context.fillRect(first * step, kinds.indexOf(kind) * high, wide, Math.max(1, high - ratio));
    }
  }

  windowName() {
    const same = ([low, high]) => low === this.range[0] && high === this.range[1];
    return Object.keys(this.data.windows).find((name) => same(this.data.windows[name])) ?? "";
  }

  chooseWindow(name) {
    const [low, high] = this.data.windows[name];
    this.setWindow((low + high) / 2, high - low);
  }

  /** Set the window in HU; a value that is not a number leaves it as it was. */
  setWindow(centre, width) {
    const levels = this.data.curve.map(([hu]) => hu);
    const [lowest, highest] = [levels[0], levels.at(-1)];
    if (Number.isFinite(centre) && Number.isFinite(width)) {
      const wide = clamp(Math.round(width), NARROWEST_HU, highest - lowest);
      const low = clamp(Math.round(centre), lowest, highest) - Math.floor(wide / 2);
      this.range = [low, low + wide];
    }
    const chosen = this.windowName();
    for (const button of document.querySelectorAll("[data-window]")) {
      button.setAttribute("aria-pressed", String(button.dataset.window === chosen));
    }
    this.writeWindow();
    this.describe();
    this.draw();
  }

  writeWindow() {
    const width = this.range[1] - this.range[0];
    element("centre").value = this.range[0] + Math.floor(width / 2);
    element("width").value = width;
  }

  nextWindow() {
    const names = Object.keys(this.data.windows);
    this.chooseWindow(names[(names.indexOf(this.windowName()) + 1) % names.length]);
  }

  changeWindow(shift, factor) {
    const [low, high] = this.range;
    const width = high - low;
    this.setWindow(low + Math.floor(width / 2) + shift * width, width * factor);
  }

  /** Go to a finding in all views: a lesion is magnified, an organ is shown whole. */
  jump(number) {
    const segment = this.data.segments.find((s) => s.number === number);
    if (!segment) return;
    this.current = number;
    this.findings.mark(number);
    const place = { x: segment.column, y: segment.row, z: segment.slice };
    const mm = Object.entries(place).map(([axis, index]) => [axis, this.volume.toMm(axis, index)]);
    if (segment.diameters) this.setZoom(Math.max(3, this.zoomed), Object.fromEntries(mm));
    else this.fit();
    this.go(place);
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.views[0].stage.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
  }

  /** Go to the shown finding so many rows after the current one. */
  next(steps) {
    const number = this.findings.after(this.current, steps);
    if (number !== null) this.jump(number);
  }

  fit() {
    const middle = ["x", "y", "z"].map((axis) => [axis, this.volume.extentMm(axis) / 2]);
    this.setZoom(1, Object.fromEntries(middle));
  }

  zoom(step) {
    const at = ZOOMS.findIndex((zoom) => zoom >= this.zoomed);
    const place = Object.entries(this.cursor).map(([axis, index]) => [axis, this.volume.toMm(axis, index)]);
    const onCursor = this.zoomed === 1 ? Object.fromEntries(place) : this.centre;
    this.setZoom(ZOOMS[clamp(at + step, 0, ZOOMS.length - 1)], onCursor);
  }

  /** Magnify around a place in mm along some axes. */
  zoomAt(step, place) {
    Object.assign(this.centre, place);
    const at = ZOOMS.findIndex((zoom) => zoom >= this.zoomed);
    this.setZoom(ZOOMS[clamp(at + step, 0, ZOOMS.length - 1)], this.centre);
  }

  /** Set the magnification and what is in the middle, in mm; a view never leaves the scan. */
  setZoom(zoom, centre) {
    const half = 0.5 / zoom;
    const inside = (axis) => {
      const extent = this.volume.extentMm(axis);
      return clamp(centre[axis], half * extent, (1 - half) * extent);
    };
    this.zoomed = zoom;
    this.centre = { x: inside("x"), y: inside("y"), z: inside("z") };
    for (const { stage } of this.views) stage.classList.toggle("magnified", zoom > 1);
    element("magnified").textContent = `${zoom} ×`;
    this.draw();
  }

  key(event) {
    const { target } = event;
    const typed = event.getModifierState("AltGraph"); // how some keyboards type [ and ]
    if ((event.ctrlKey || event.altKey || event.metaKey) && !typed) return;
    if (target.matches("select, input[type=search], input[type=number]")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const view = this.views.find(({ stage }) => stage === target);
    const act = /^[1-9]$/.test(name)
      ? () => this.findings.toggle(Number(name))
      : (view && this.steps(view)[name]) || this.actions()[name];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** What keys do in a view that has the focus. */
  steps(view) {
    return {
      ArrowUp: () => view.step(1),
      ArrowDown: () => view.step(-1),
      PageUp: () => view.step(10),
      PageDown: () => view.step(-10),
      ArrowRight: () => view.go(view.index + 1),
      ArrowLeft: () => view.go(view.index - 1),
      Home: () => view.go(0),
      End: () => view.go(Infinity),
    };
  }

  actions() {
    return {
      m: () => element("masks").click(),
      f: () => element("fill").click(),
      c: () => element("cross").click(),
      a: () => this.findings.toggleAll(),
      w: () => this.nextWindow(),
      "[": () => this.changeWindow(0, 1 / 1.15),
      "]": () => this.changeWindow(0, 1.15),
      "{": () => this.changeWindow(-0.05, 1),
      "}": () => this.changeWindow(0.05, 1),
      n: () => this.next(1),
      p: () => this.next(-1),
      "+": () => this.zoom(1),
      "=": () => this.zoom(1),
      "-": () => this.zoom(-1),
      0: () => this.fit(),
      "?": () => element("help").showModal(),
    };
  }
}

const viewer = new Viewer(JSON.parse(element("data").textContent));
viewer.writeWindow();
viewer.views[0].stage.focus({ preventScroll: true });
