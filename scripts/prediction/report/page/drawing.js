"use strict";

const LABEL_FONT = "600 13px system-ui, sans-serif";

/** Draws the sections of one plane with outlines, diameters, crosshair and marks. */
class Drawing {
  constructor(canvas, volume, plane) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.volume = volume;
    this.plane = plane;
    const { across, down, marks } = PLANES[plane];
    this.marks = marks;
    [this.widthMm, this.heightMm] = [volume.extentMm(across), volume.extentMm(down)];
    this.grey = canvasOf(volume.pixels[across], volume.pixels[down]);
    this.fill = canvasOf(volume.voxels[across], volume.voxels[down]);
  }

  /** Fit the canvas to its size on the screen; return whether it changed. */
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width === width && this.canvas.height === height) return false;
    this.canvas.width = width;
    this.canvas.height = height;
    this.ratio = ratio;
    return true;
  }

  /** Pixels of the canvas per mm. */
  scale(zoom) {
    return Math.min(this.canvas.width / this.widthMm, this.canvas.height / this.heightMm) * zoom;
  }

  /** mm per CSS pixel. */
  mmPerPixel(zoom) {
    return this.ratio / this.scale(zoom);
  }

  /** Convert grey levels to the shades of a window. */
  setSection(levels, [low, high]) {
    const shades = this.volume.huOfLevel.map((hu) =>
      Math.max(0, Math.min(255, Math.round((255 * (hu - low)) / (high - low))))
    );
    const context = this.grey.getContext("2d");
    const image = context.createImageData(this.grey.width, this.grey.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < levels.length; i++) {
      const shade = shades[levels[i]];
      pixels[i] = 0xff000000 | (shade << 16) | (shade << 8) | shade;
    }
    context.putImageData(image, 0, 0);
  }

  /**
   * Draw a view: {index, zoom, x, y (mm at the middle), segments (shown ones), current (number),
   * filled, cross ([x, y] in mm, or null)}.
   */
  draw(view) {
    const { context, canvas, volume } = this;
    const scale = this.scale(view.zoom);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const [left, top] = [canvas.width / 2 - view.x * scale, canvas.height / 2 - view.y * scale];
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingQuality = "high";
    context.imageSmoothingEnabled = true;
    context.drawImage(this.grey, 0, 0, this.widthMm, this.heightMm);
    const outlines = volume.outlines(this.plane, view.index);
    if (view.filled && outlines.size) this.drawFill(view);
    const drawn = view.segments.filter((segment) => outlines.has(segment.number));
    for (const segment of drawn) this.drawOutline(segment, outlines, view, scale);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const onScreen = ([x, y]) => [(left + x * scale) / this.ratio, (top + y * scale) / this.ratio];
    if (view.cross) this.drawCross(onScreen(view.cross));
    for (const { number, label, colour } of drawn) {
      const { right, top: above } = outlines.get(number);
      const [x, y] = onScreen([right, above]);
      if (label) this.write(label, x + 4, y - 3, colour);
    }
    this.drawMarks(scale / this.ratio);
  }

  drawFill(view) {
    const { context, fill, volume } = this;
    const colours = new Map(view.segments.map((s) => [s.number, rgba(s.colour, 90)]));
    const target = fill.getContext("2d");
    const image = target.createImageData(fill.width, fill.height);
    const pixels = new Uint32Array(image.data.buffer);
    volume.numbers(this.plane, view.index).forEach((number, i) => {
      if (number) pixels[i] = colours.get(number) || 0;
    });
    target.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(fill, 0, 0, this.widthMm, this.heightMm);
  }

  drawOutline(segment, outlines, view, scale) {
    const { context } = this;
    context.lineCap = "square";
    context.strokeStyle = segment.colour;
    context.lineWidth = ((segment.number === view.current ? 2.5 : 1.5) * this.ratio) / scale;
    context.stroke(outlines.get(segment.number).path);
    if (this.plane !== "axial" || segment.slice !== view.index) return;
    for (const [width, colour, dash] of [[2.6, "#000", 0], [1.2, "#fff", 4]]) {
      context.lineWidth = (width * this.ratio) / scale;
      context.strokeStyle = colour;
      context.setLineDash(dash ? [(dash * this.ratio) / scale, (3 * this.ratio) / scale] : []);
      for (const [[x0, y0], [x1, y1]] of segment.diameters || []) {
        context.beginPath();
        context.moveTo(x0, y0);
        context.lineTo(x1, y1);
        context.stroke();
      }
    }
    context.setLineDash([]);
  }

  /** Draw where the other two views lie, open in the middle; in CSS pixels. */
  drawCross([x, y]) {
    const { context } = this;
    const [width, height, gap] = [this.canvas.width / this.ratio, this.canvas.height / this.ratio, 14];
    context.strokeStyle = "rgb(255 255 255 / 45%)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }

  /** Draw directions and a scale bar, in CSS pixels. */
  drawMarks(pixelsPerMm) {
    const width = this.canvas.width / this.ratio;
    const height = this.canvas.height / this.ratio;
    const [left, right, top, bottom] = this.marks;
    this.write(left, 8, height / 2, "#fff");
    this.write(right, width - 17, height / 2, "#fff");
    this.write(top, width / 2 - 4, 18, "#fff");
    this.write(bottom, width / 2 - 4, height - 8, "#fff");
    const longest = (0.3 * width) / pixelsPerMm;
    const length = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm <= longest) || 1;
    const [x, y] = [width - 12, height - 12];
    const { context } = this;
    for (const [thick, colour] of [[5, "#000"], [2.5, "#fff"]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(x - length * pixelsPerMm, y);
      context.lineTo(x, y);
      context.stroke();
    }
    const words = `${length} mm`;
    context.font = LABEL_FONT;
    const shift = Math.max(context.measureText(words).width, (length * pixelsPerMm + context.measureText(words).width) / 2);
    this.write(words, x - shift, y - 8, "#fff");
  }

  write(text, x, y, colour) {
    const { context } = this;
    context.font = LABEL_FONT;
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }
}

/** A colour #rrggbb as a pixel of an ImageData seen as little-endian 32-bit numbers. */
function rgba(colour, opacity) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((opacity << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
