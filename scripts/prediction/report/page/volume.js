"use strict";

/** Number of sections whose outlines are kept. */
const KEPT_SECTIONS = 96;

/**
 * The three views, in radiological orientation. Axes are x (towards the patient's left), y (towards
 * the back) and z (slices); pictures run across, down, and from picture to picture through.
 */
const PLANES = {
  axial: { across: "x", down: "y", through: "z", marks: ["R", "L", "A", "P"] },
  coronal: { across: "x", down: "z", through: "y", marks: ["R", "L", "H", "F"] },
  sagittal: { across: "y", down: "z", through: "x", marks: ["A", "P", "H", "F"] },
};

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

/** The slices and masks in the page; positions in mm from the right, the front and the head. */
class Volume {
  constructor(data) {
    this.data = data;
    this.voxels = { x: data.columns, y: data.rows, z: data.slices };
    this.pixels = { x: data.picture_width, y: data.picture_height, z: data.slices };
    this.mm = { x: data.column_mm, y: data.row_mm, z: data.slice_mm };
    this.huOfLevel = huOfLevels(data.curve);
    this.levels = new Array(data.slices);
    this.decoding = new Map();
    this.runs = new Array(data.slices);
    this.edges = new Cache(KEPT_SECTIONS);
    this.loaded = 0;
  }

  extentMm(axis) {
    return this.voxels[axis] * this.mm[axis];
  }

  /** Place of a voxel's centre along an axis, in mm; slices are counted from the head. */
  toMm(axis, index) {
    return (this.fromHead(axis, index) + 0.5) * this.mm[axis];
  }

  toIndex(axis, mm) {
    const last = this.voxels[axis] - 1;
    return this.fromHead(axis, Math.max(0, Math.min(last, Math.floor(mm / this.mm[axis]))));
  }

  fromHead(axis, index) {
    return axis === "z" && this.data.to_head > 0 ? this.data.slices - 1 - index : index;
  }

  /** Decode a slice, once; the promise ends when its grey levels are there. */
  decode(slice) {
    if (!this.decoding.has(slice)) this.decoding.set(slice, this.read(slice));
    return this.decoding.get(slice);
  }

  async read(slice) {
    const { x: width, y: height } = this.pixels;
    const picture = new Image();
    picture.src = "data:image/jpeg;base64," + this.data.pictures[slice];
    await picture.decode();
    this.reader ??= canvasOf(width, height).getContext("2d", { willReadFrequently: true });
    this.reader.drawImage(picture, 0, 0);
    const pixels = this.reader.getImageData(0, 0, width, height).data;
    const levels = new Uint8Array(width * height);
    for (let i = 0; i < levels.length; i++) levels[i] = pixels[4 * i];
    this.levels[slice] = levels;
    this.data.pictures[slice] = null; // its memory is free again
    this.loaded += 1;
  }

  /** One grey level for each pixel of a section; black where slices are not decoded yet. */
  section(plane, index) {
    const { across, down, through } = PLANES[plane];
    if (plane === "axial") return this.levels[index];
    const [wide, high] = [this.pixels[across], this.pixels[down]];
    const at = Math.floor(((index + 0.5) * this.pixels[through]) / this.voxels[through]);
    const section = new Uint8Array(wide * high);
    const { x: width } = this.pixels;
    this.levels.forEach((levels, slice) => {
      const start = this.fromHead("z", slice) * wide;
      if (plane === "coronal") section.set(levels.subarray(at * width, (at + 1) * width), start);
      else for (let y = 0; y < wide; y++) section[start + y] = levels[y * width + at];
    });
    return section;
  }

  /** Number of the segment in each voxel of a section. */
  numbers(plane, index) {
    const { across, down } = PLANES[plane];
    const numbers = new Uint16Array(this.voxels[across] * this.voxels[down]);
    if (plane === "axial") {
      this.eachRun(index, (start, stop, number) => numbers.fill(number, start, stop));
      return numbers;
    }
    for (let slice = 0; slice < this.data.slices; slice++) {
      const row = this.fromHead("z", slice) * this.voxels[across];
      this.cut(plane, index, slice, numbers.subarray(row, row + this.voxels[across]));
    }
    return numbers;
  }

  /** Fill the row of a coronal or sagittal section that lies in one slice. */
  cut(plane, index, slice, row) {
    const wide = this.voxels.x;
    this.eachRun(slice, (start, stop, number) => {
      if (plane === "coronal") {
        row.fill(number, clamp(start - index * wide, 0, wide), clamp(stop - index * wide, 0, wide));
        return;
      }
      const first = start + ((index - (start % wide) + wide) % wide);
      for (let at = first; at < stop; at += wide) row[Math.floor(at / wide)] = number;
    });
  }

  eachRun(slice, use) {
    const runs = (this.runs[slice] ??= lebNumbers(this.data.runs[slice]));
    let at = 0;
    for (let i = 0; i < runs.length; i += 3) {
      at += runs[i];
      use(at, at + runs[i + 1], runs[i + 2]);
      at += runs[i + 1];
    }
  }

  /** Outline of each segment of a section, along voxel edges: number -> {path, right, top} in mm. */
  outlines(plane, index) {
    return this.edges.get(`${plane} ${index}`, () => {
      const { across, down } = PLANES[plane];
      const size = [this.voxels[across], this.voxels[down], this.mm[across], this.mm[down]];
      return outlinesOf(this.numbers(plane, index), ...size);
    });
  }
}

function outlinesOf(numbers, wide, high, dx, dy) {
  const outlines = new Map();
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at];
    if (!number) continue;
    const [row, column] = [Math.floor(at / wide), at % wide];
    let outline = outlines.get(number);
    if (!outline) outlines.set(number, (outline = { path: new Path2D(), right: 0, top: row * dy }));
    outline.right = Math.max(outline.right, (column + 1) * dx);
    const edge = (x0, y0, x1, y1) => {
      outline.path.moveTo(x0 * dx, y0 * dy);
      outline.path.lineTo(x1 * dx, y1 * dy);
    };
    if (!row || numbers[at - wide] !== number) edge(column, row, column + 1, row);
    if (row === high - 1 || numbers[at + wide] !== number) edge(column, row + 1, column + 1, row + 1);
    if (!column || numbers[at - 1] !== number) edge(column, row, column, row + 1);
    if (column === wide - 1 || numbers[at + 1] !== number) edge(column + 1, row, column + 1, row + 1);
  }
  return outlines;
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
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
  return Uint32Array.from(numbers);
}
