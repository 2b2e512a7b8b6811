"use strict";

/** Number of decoded slices that are kept. */
const KEPT_SLICES = 64;

/** Keeps the results computed last; the oldest is dropped first. */
class Cache {
  constructor(limit) {
    this.limit = limit;
    this.items = new Map();
  }

  get(key, make) {
    if (!this.items.has(key)) {
      this.items.set(key, make());
      if (this.items.size > this.limit) this.items.delete(this.items.keys().next().value);
    }
    return this.items.get(key);
  }
}

/** The slices and masks in the page; positions in mm from a slice's upper left corner. */
class Volume {
  constructor(data) {
    this.data = data;
    this.widthMm = data.columns * data.column_mm;
    this.heightMm = data.rows * data.row_mm;
    this.huOfLevel = huOfLevels(data.curve);
    this.pictures = new Cache(KEPT_SLICES);
    this.labels = new Cache(4);
    this.edges = new Cache(KEPT_SLICES);
  }

  /** Promise of one grey level for each pixel of a picture. */
  levels(slice) {
    return this.pictures.get(slice, () => this.decode(slice));
  }

  async decode(slice) {
    const picture = new Image();
    picture.src = "data:image/jpeg;base64," + this.data.pictures[slice];
    await picture.decode();
    const canvas = canvasOf(this.data.picture_width, this.data.picture_height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const levels = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < levels.length; i++) levels[i] = pixels[4 * i];
    return levels;
  }

  /** Number of the segment in each voxel of a slice. */
  numbers(slice) {
    return this.labels.get(slice, () => {
      const numbers = new Uint16Array(this.data.rows * this.data.columns);
      const runs = lebNumbers(this.data.runs[slice]);
      let at = 0;
      for (let i = 0; i < runs.length; i += 3) {
        at += runs[i];
        numbers.fill(runs[i + 2], at, at + runs[i + 1]);
        at += runs[i + 1];
      }
      return numbers;
    });
  }

  /** Outline of each segment of a slice, along voxel edges: number -> {path, right, top}. */
  outlines(slice) {
    return this.edges.get(slice, () => {
      if (!this.data.runs[slice]) return new Map();
      const numbers = this.numbers(slice);
      const outlines = new Map();
      for (const number of new Set(numbers)) {
        if (number) outlines.set(number, this.outline(numbers, number));
      }
      return outlines;
    });
  }

  outline(numbers, number) {
    const { rows, columns, row_mm: dy, column_mm: dx } = this.data;
    const inside = (r, c) =>
      r >= 0 && c >= 0 && r < rows && c < columns && numbers[r * columns + c] === number;
    const path = new Path2D();
    let [top, left, bottom, right] = [rows, columns, 0, 0];
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        if (!inside(r, c)) continue;
        [top, left] = [Math.min(top, r), Math.min(left, c)];
        [bottom, right] = [Math.max(bottom, r + 1), Math.max(right, c + 1)];
        const edge = (r0, c0, r1, c1) => {
          path.moveTo(c0 * dx, r0 * dy);
          path.lineTo(c1 * dx, r1 * dy);
        };
        if (!inside(r - 1, c)) edge(r, c, r, c + 1);
        if (!inside(r + 1, c)) edge(r + 1, c, r + 1, c + 1);
        if (!inside(r, c - 1)) edge(r, c, r + 1, c);
        if (!inside(r, c + 1)) edge(r, c + 1, r + 1, c + 1);
      }
    }
    return { path, right: right * dx, top: top * dy };
  }
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** HU of each of the 256 grey levels: linear between the points of a curve. */
function huOfLevels(curve) {
  const table = new Float32Array(256);
  for (let i = 1; i < curve.length; i++) {
    const [[hu0, level0], [hu1, level1]] = [curve[i - 1], curve[i]];
    for (let level = level0; level <= level1; level++) {
      table[level] = hu0 + ((hu1 - hu0) * (level - level0)) / (level1 - level0);
    }
  }
  return table;
}

/** Decode base64 of little-endian base-128 numbers. */
function lebNumbers(base64) {
  const text = atob(base64);
  const numbers = [];
  let value = 0;
  let shift = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i);
    value |= (byte & 127) << shift;
    shift += 7;
    if (byte < 128) {
      numbers.push(value);
      value = 0;
      shift = 0;
    }
  }
  return numbers;
}
