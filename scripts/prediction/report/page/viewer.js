"use strict";

const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];
const element = (id) => document.getElementById(id);

/** Connects the slices to mouse, keyboard and controls. */
class Viewer {
  constructor(data) {
    this.data = data;
    this.volume = new Volume(data);
    this.drawing = new Drawing(element("canvas"), this.volume);
    this.stage = element("stage");
    this.slider = element("slider");
    this.hidden = new Set();
    this.window = data.window;
    this.wheeled = 0;
    this.slice = data.start;
    this.fit();
    this.stage.style.aspectRatio = `${this.volume.widthMm} / ${this.volume.heightMm}`;
    this.listen();
    const fit = () => {
      if (this.drawing.resize()) this.draw();
      this.drawMap();
    };
    new ResizeObserver(fit).observe(this.stage);
    window.addEventListener("resize", fit); // the pixel ratio may change without the size, on another screen
    this.show(data.start);
  }

  listen() {
    this.slider.addEventListener("input", () => this.show(this.slider.valueAsNumber - 1));
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("dblclick", (event) => this.zoomAt(event));
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(kind, () => (this.grabbed = null));
    }
    element("viewer").addEventListener("keydown", (event) => this.key(event));
    element("masks").addEventListener("change", () => this.draw());
    element("fill").addEventListener("change", () => this.draw());
    element("larger").addEventListener("click", () => this.zoom(1));
    element("smaller").addEventListener("click", () => this.zoom(-1));
    element("fit").addEventListener("click", () => this.fit());
    for (const box of document.querySelectorAll("[data-segment]")) {
      box.addEventListener("change", () => this.toggle(Number(box.dataset.segment), box.checked));
    }
    for (const button of document.querySelectorAll("[data-window]")) {
      button.addEventListener("click", () => this.chooseWindow(button.dataset.window));
    }
    for (const row of document.querySelectorAll("[data-row]")) {
      row.addEventListener("click", () => this.jump(Number(row.dataset.row)));
    }
    window.addEventListener("beforeprint", () => this.draw());
  }

  /** Show a slice, 0-based; of overlapping calls the last one takes effect. */
  async show(slice) {
    this.slice = Math.max(0, Math.min(this.data.slices - 1, slice));
    this.describe();
    const wanted = this.slice;
    const levels = await this.volume.levels(wanted);
    if (this.slice !== wanted) return;
    this.levels = levels;
    this.drawing.setSlice(levels, this.data.windows[this.window]);
    this.draw();
    for (const near of [wanted + 1, wanted - 1]) {
      if (near >= 0 && near < this.data.slices) this.volume.levels(near);
    }
  }

  draw() {
    if (!this.levels) return;
    this.drawing.resize();
    const shown = element("masks").checked;
    this.drawing.draw({
      slice: this.slice,
      zoom: this.zoomed,
      x: this.x,
      y: this.y,
      filled: shown && element("fill").checked,
      segments: shown ? this.data.segments.filter((s) => !this.hidden.has(s.number)) : [],
    });
    this.stage.dataset.slice = this.slice + 1;
  }

  /** Write the position below the slice and for screen readers. */
  describe() {
    const { data, slice } = this;
    const here = data.segments.filter((s) => s.first <= slice && slice <= s.last);
    const names = here.map((s) => s.name).join(", ");
    const z = (data.z_mm + slice * data.z_step_mm).toFixed(1).replace("-", "\u2212");
    const words = `Slice ${slice + 1} of ${data.slices} · z ${z} mm${names && " · " + names}`;
    element("place").textContent = words;
    element("canvas").setAttribute("aria-label", `Axial CT. ${words}. ${this.window} window.`);
    this.slider.value = slice + 1;
    this.slider.setAttribute("aria-valuetext", words);
  }

  /** Draw the range of slices of each segment along the slider. */
  drawMap() {
    const map = element("map");
    const ratio = window.devicePixelRatio || 1;
    [map.width, map.height] = [map.clientWidth * ratio, map.clientHeight * ratio];
    const context = map.getContext("2d");
    const step = map.width / this.data.slices;
    const kinds = [...new Set(this.data.segments.map((s) => s.kind))];
    const high = map.height / Math.max(1, kinds.length);
    for (const { kind, colour, first, last } of this.data.segments) {
      context.fillStyle = colour;
      const wide = Math.max(2 * ratio, (last - first + 1) * step);
      context.fillRect(first * step, kinds.indexOf(kind) * high, wide, Math.max(1, high - ratio));
    }
  }

  chooseWindow(name) {
    this.window = name;
    for (const button of document.querySelectorAll("[data-window]")) {
      button.setAttribute("aria-pressed", String(button.dataset.window === name));
    }
    this.show(this.slice);
  }

  toggle(number, shown) {
    if (shown) this.hidden.delete(number);
    else this.hidden.add(number);
    this.draw();
  }

  /** Go to a finding: a lesion is magnified, an organ is shown whole. */
  jump(number) {
    const segment = this.data.segments.find((s) => s.number === number);
    if (!segment) return;
    for (const row of document.querySelectorAll("[data-row]")) {
      if (Number(row.dataset.row) === number) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    this.current = number;
    if (segment.diameters) this.setZoom(Math.max(3, this.zoomed), segment.x, segment.y);
    else this.fit();
    this.show(segment.slice);
    this.stage.focus({ preventScroll: true });
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.stage.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
  }

  /** Go to the finding after or before the current one. */
  next(step) {
    const numbers = this.data.segments.map((s) => s.number);
    if (!numbers.length) return;
    const at = numbers.indexOf(this.current);
    const start = at < 0 && step < 0 ? 0 : at;
    this.jump(numbers[(start + step + numbers.length) % numbers.length]);
  }

  fit() {
    this.setZoom(1, this.volume.widthMm / 2, this.volume.heightMm / 2);
  }

  zoom(step) {
    const at = ZOOMS.findIndex((zoom) => zoom >= this.zoomed);
    const next = ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, at + step))];
    this.setZoom(next, this.x, this.y);
  }

  setZoom(zoom, x, y) {
    const half = 0.5 / zoom;
    const { widthMm, heightMm } = this.volume;
    this.zoomed = zoom;
    this.x = Math.max(half * widthMm, Math.min((1 - half) * widthMm, x));
    this.y = Math.max(half * heightMm, Math.min((1 - half) * heightMm, y));
    this.stage.classList.toggle("magnified", zoom > 1);
    element("magnified").textContent = `${zoom} ×`;
    this.draw();
  }

  zoomAt(event) {
    const box = this.stage.getBoundingClientRect();
    const mm = this.drawing.ratio / this.drawing.scale({ zoom: this.zoomed });
    this.x += (event.clientX - box.left - box.width / 2) * mm;
    this.y += (event.clientY - box.top - box.height / 2) * mm;
    this.zoom(1);
  }

  grab(event) {
    if (this.zoomed === 1 || event.button !== 0) return;
    this.grabbed = [event.clientX, event.clientY, this.x, this.y];
    this.stage.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (!this.grabbed) return;
    const [x0, y0, x, y] = this.grabbed;
    const mm = this.drawing.ratio / this.drawing.scale({ zoom: this.zoomed });
    this.setZoom(this.zoomed, x - (event.clientX - x0) * mm, y - (event.clientY - y0) * mm);
  }

  /** One notch is one slice, downwards is towards the feet; small steps of a trackpad add up. */
  wheel(event) {
    event.preventDefault();
    this.wheeled += event.deltaMode ? 50 * event.deltaY : event.deltaY;
    if (Math.abs(this.wheeled) < 50) return;
    const down = Math.sign(this.wheeled);
    this.wheeled = 0;
    if (event.ctrlKey) this.zoom(-down);
    else this.show(this.slice - down * this.data.to_head);
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const native = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End"];
    if (event.target === this.slider && native.includes(event.key)) return;
    const { to_head: toHead, slices } = this.data;
    const acts = {
      ArrowUp: () => this.show(this.slice + toHead),
      ArrowDown: () => this.show(this.slice - toHead),
      PageUp: () => this.show(this.slice + 10 * toHead),
      PageDown: () => this.show(this.slice - 10 * toHead),
      ArrowRight: () => this.show(this.slice + 1),
      ArrowLeft: () => this.show(this.slice - 1),
      Home: () => this.show(0),
      End: () => this.show(slices - 1),
      m: () => element("masks").click(),
      f: () => element("fill").click(),
      w: () => this.nextWindow(),
      n: () => this.next(1),
      p: () => this.next(-1),
      "+": () => this.zoom(1),
      "=": () => this.zoom(1),
      "-": () => this.zoom(-1),
      0: () => this.fit(),
    };
    const box = /^[1-9]$/.test(event.key) && document.querySelectorAll("[data-segment]")[event.key - 1];
    const act = box ? () => box.click() : acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  nextWindow() {
    const names = Object.keys(this.data.windows);
    this.chooseWindow(names[(names.indexOf(this.window) + 1) % names.length]);
  }
}

new Viewer(JSON.parse(element("data").textContent)).stage.focus({ preventScroll: true });
