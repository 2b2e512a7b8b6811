"use strict";

/** One of the three views: its picture, its slider, and what mouse and fingers do in it. */
class View {
  constructor(element, viewer) {
    this.plane = element.dataset.plane;
    this.axis = PLANES[this.plane].through;
    this.viewer = viewer;
    this.stage = element.querySelector(".stage");
    this.canvas = element.querySelector(".canvas");
    this.slider = element.querySelector(".slider");
    this.place = element.querySelector(".place");
    this.drawing = new Drawing(this.canvas, viewer.volume, this.plane);
    this.wheeled = 0;
    const axial = viewer.volume;
    this.stage.style.aspectRatio = `${axial.extentMm("x")} / ${axial.extentMm("y")}`;
    this.listen();
  }

  listen() {
    this.slider.addEventListener("input", () => this.go(this.slider.valueAsNumber - 1));
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("dblclick", (event) => this.viewer.zoomAt(1, this.at(event)));
    this.stage.addEventListener("contextmenu", (event) => event.preventDefault());
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    this.stage.addEventListener("pointerup", (event) => this.release(event));
    this.stage.addEventListener("pointercancel", () => (this.grabbed = null));
  }

  get index() {
    return this.viewer.cursor[this.axis];
  }

  go(index) {
    this.viewer.go({ [this.axis]: index });
  }

  /** Step towards the head in the axial view, towards larger numbers in the others. */
  step(steps) {
    this.go(this.index + steps * (this.plane === "axial" ? this.viewer.data.to_head : 1));
  }

  /** Draw the section of the cursor, as far as its slices are decoded. */
  draw() {
    const { viewer, drawing, index } = this;
    const levels = viewer.volume.levels[viewer.cursor.z];
    if (!levels) return;
    drawing.resize();
    const made = [index, viewer.range, this.plane === "axial" || viewer.volume.loaded].join();
    if (this.made !== made) drawing.setSection(viewer.volume.section(this.plane, index), viewer.range);
    this.made = made;
    const { across, down } = PLANES[this.plane];
    const middle = (axis) => viewer.volume.toMm(axis, viewer.cursor[axis]);
    drawing.draw({
      index,
      zoom: viewer.zoomed,
      x: viewer.centre[across],
      y: viewer.centre[down],
      filled: viewer.isOn("masks") && viewer.isOn("fill"),
      segments: viewer.isOn("masks") ? viewer.shown() : [],
      current: viewer.current,
      cross: viewer.isOn("cross") ? [middle(across), middle(down)] : null,
    });
    this.stage.dataset.slice = index + 1;
  }

  /** Write the position below the picture and for screen readers. */
  describe() {
    const { data, volume, range } = this.viewer;
    const outlines = volume.outlines(this.plane, this.index);
    const names = this.viewer.shown().filter((s) => outlines.has(s.number)).map((s) => s.name);
    const more = names.length > 4 ? ` and ${names.length - 3} more` : "";
    const listed = (more ? names.slice(0, 3) : names).join(", ") + more;
    const mm = (data.origin_mm[this.axis] + this.index * data.step_mm[this.axis]).toFixed(1);
    const title = this.plane === "axial" ? "Slice" : capital(this.plane);
    const words = `${title} ${this.index + 1} of ${volume.voxels[this.axis]} · ${this.axis} ${mm.replace("-", "\u2212")} mm${listed && " · " + listed}`;
    this.place.textContent = this.place.title = words;
    const shades = this.viewer.windowName() || `${range[0]} to ${range[1]} HU`;
    this.canvas.setAttribute("aria-label", `${capital(this.plane)} CT. ${words}. ${shades} window.`);
    this.slider.value = this.index + 1;
    this.slider.setAttribute("aria-valuetext", words);
  }

  /** Position of the pointer in mm along the axes of the picture. */
  at(event) {
    const { across, down } = PLANES[this.plane];
    const box = this.stage.getBoundingClientRect();
    const mm = this.drawing.mmPerPixel(this.viewer.zoomed);
    return {
      [across]: this.viewer.centre[across] + (event.clientX - box.left - box.width / 2) * mm,
      [down]: this.viewer.centre[down] + (event.clientY - box.top - box.height / 2) * mm,
    };
  }

  /** Begin to move the picture, to swipe, or (right button, or Shift) to change the window. */
  grab(event) {
    if (event.button === 1) return;
    const shades = event.button === 2 || event.shiftKey;
    const swipe = event.pointerType === "touch" && this.viewer.zoomed === 1;
    this.grabbed = {
      kind: shades ? "window" : swipe ? "swipe" : "move",
      x: event.clientX,
      y: event.clientY,
      centre: { ...this.viewer.centre },
      range: [...this.viewer.range],
      index: this.index,
      moved: false,
    };
    this.stage.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (!this.grabbed) return;
    const { kind, x, y, centre, range, index } = this.grabbed;
    const [dx, dy] = [event.clientX - x, event.clientY - y];
    this.grabbed.moved ||= Math.hypot(dx, dy) > 4;
    if (!this.grabbed.moved) return;
    if (kind === "window") {
      const width = range[1] - range[0];
      this.viewer.setWindow((range[0] + range[1]) / 2 - (dy * width) / 400, width * 2 ** (dx / 150));
    } else if (kind === "swipe") {
      this.go(index + Math.round(dx / 8));
    } else if (this.viewer.zoomed > 1) {
      const { across, down } = PLANES[this.plane];
      const mm = this.drawing.mmPerPixel(this.viewer.zoomed);
      this.viewer.setZoom(this.viewer.zoomed, { ...centre, [across]: centre[across] - dx * mm, [down]: centre[down] - dy * mm });
    }
  }

  /** A press without a move puts the crosshair there. */
  release(event) {
    const grabbed = this.grabbed;
    this.grabbed = null;
    if (!grabbed || grabbed.moved || grabbed.kind === "window") return;
    const place = Object.entries(this.at(event));
    this.viewer.go(Object.fromEntries(place.map(([axis, mm]) => [axis, this.viewer.volume.toIndex(axis, mm)])));
  }

  /** One notch is one slice, downwards is towards the feet; small steps of a trackpad add up. */
  wheel(event) {
    event.preventDefault();
    this.wheeled += event.deltaMode ? 50 * event.deltaY : event.deltaY;
    if (Math.abs(this.wheeled) < 50) return;
    const down = Math.sign(this.wheeled);
    this.wheeled = 0;
    if (event.ctrlKey) this.viewer.zoom(-down);
    else this.step(this.plane === "axial" ? -down : down);
  }
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}
