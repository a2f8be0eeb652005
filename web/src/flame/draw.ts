// Draws rectangles of `layout` to a canvas. Bars of one colour are filled together; texts come last, only where they fit.

import { CHANGES, HUES, type Palette } from './color';
import type { Rectangles } from './layout';
import type { FlameTree } from './tree';

export const FONT = '11px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
/** Bars narrower than this carry no text. */
const TEXT_NARROWEST = 28;
const PADDING = 5;

export interface Look {
  palette: Palette;
  /** Bucket of each name, or of each node in a diff. */
  buckets: Int8Array;
  /** Colours by bucket where they are not the palette's. */
  diff: string[] | null;
  /** 1 for each name that a search found. */
  found: Uint8Array | null;
  /** A name whose bars are outlined, -1 for none. */
  marked: number;
  rowHeight: number;
}

/** Widths of names, measured once. */
export type Widths = Float32Array;

/** The graph itself. What follows the pointer lies on a canvas of its own: see `drawOver`. */
export function draw(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look, widths: Widths, width: number, height: number): void {
  context.fillStyle = look.palette.background;
  context.fillRect(0, 0, width, height);
  fillBars(context, tree, shapes, look);
  if (look.marked >= 0) marks(context, tree, shapes, look);
  texts(context, tree, shapes, look, widths);
}

/** Outlines of the block below the pointer and of the selected one. */
export function drawOver(context: CanvasRenderingContext2D, places: { x: number; y: number; width: number; color: string; line: number }[], rowHeight: number, width: number, height: number): void {
  context.clearRect(0, 0, width, height);
  for (const place of places) outline(context, place.x, place.y, place.width, rowHeight, place.color, place.line);
}

/** Colours are numbers while they are sorted: the hues, the same faded, then these. */
const PLAIN = 2 * HUES;
const PLAIN_FADED = PLAIN + 1;
const MATCH = PLAIN + 2;
const RUN = PLAIN + 3;
const RUN_MATCH = PLAIN + 4;
const CHANGE = PLAIN + 5;
const COLORS_MAX = CHANGE + CHANGES;

function colorsOf(look: Look): string[] {
  const { fill, faded, plain, plainFaded, match, run, runMatch } = look.palette;
  return [...fill, ...faded, plain, plainFaded, match, run, runMatch, ...(look.diff ?? [])];
}

function colorNumber(tree: FlameTree, shapes: Rectangles, i: number, look: Look): number {
  const node = shapes.node[i];
  const above = shapes.above[i] === 1;
  if (node < 0) {
    if (!look.found) return above ? PLAIN_FADED : RUN;
    // What a search found must show, however narrow it is.
    for (let at = shapes.first[i]; at < shapes.first[i] + shapes.nodes[i]; at++) if (look.found[tree.name[at]]) return RUN_MATCH;
    return PLAIN_FADED;
  }
  const name = tree.name[node];
  if (look.found?.[name] && node > 0) return MATCH;
  const faded = above || look.found !== null;
  if (look.diff) return faded ? PLAIN_FADED : CHANGE + look.buckets[node];
  const bucket = look.buckets[name];
  if (bucket < 0) return faded ? PLAIN_FADED : PLAIN;
  return faded ? HUES + bucket : bucket;
}

/** The colour of a rectangle. */
export function fillOf(tree: FlameTree, shapes: Rectangles, i: number, look: Look): string {
  return colorsOf(look)[colorNumber(tree, shapes, i, look)];
}

const starts = new Int32Array(COLORS_MAX + 1);

/** Bars of one colour one after the other (sorted by counting): changing the colour costs more than a bar. */
function fillBars(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look): void {
  starts.fill(0);
  for (let i = 0; i < shapes.count; i++) {
    const color = colorNumber(tree, shapes, i, look);
    shapes.color[i] = color;
    starts[color + 1]++;
  }
  for (let color = 0; color < COLORS_MAX; color++) starts[color + 1] += starts[color];
  const next = starts.slice();
  for (let i = 0; i < shapes.count; i++) shapes.order[next[shapes.color[i]]++] = i;
  // Whole pixels and single rectangles: one path of thousands of them takes a browser ten times as long.
  const barHeight = look.rowHeight - 1;
  const colors = colorsOf(look);
  for (let color = 0; color < colors.length; color++) {
    if (starts[color] === starts[color + 1]) continue;
    context.fillStyle = colors[color];
    for (let at = starts[color]; at < starts[color + 1]; at++) {
      const i = shapes.order[at];
      const left = Math.round(shapes.x[i]);
      const width = Math.round(shapes.x[i] + shapes.width[i]) - left;
      // A gap of one pixel where there is room for it; runs go into each other, for they are no blocks.
      context.fillRect(left, shapes.y[i], width > 2 && shapes.node[i] >= 0 ? width - 1 : Math.max(width, 1), barHeight);
    }
  }
}

function outline(context: CanvasRenderingContext2D, x: number, y: number, width: number, rowHeight: number, color: string, line: number): void {
  context.strokeStyle = color;
  context.lineWidth = line;
  const inset = line / 2;
  context.strokeRect(Math.round(x) + inset, y + inset, Math.max(1, width - 1 - line), rowHeight - 1 - line);
}

function marks(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look): void {
  for (let i = 0; i < shapes.count; i++) {
    const node = shapes.node[i];
    if (node >= 0 && tree.name[node] === look.marked && shapes.width[i] > 2) outline(context, shapes.x[i], shapes.y[i], shapes.width[i], look.rowHeight, look.palette.outline, 1);
  }
}

function texts(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look, widths: Widths): void {
  context.font = FONT;
  context.textBaseline = 'middle';
  const middle = look.rowHeight / 2;
  for (const faded of [false, true]) {
    context.fillStyle = faded ? look.palette.textFaded : look.palette.text;
    for (let i = 0; i < shapes.count; i++) {
      const node = shapes.node[i];
      if (node < 0 || shapes.width[i] < TEXT_NARROWEST) continue;
      const name = tree.name[node];
      const dim = shapes.above[i] === 1 || (look.found !== null && !look.found[name]);
      if (dim !== faded) continue;
      if (widths[name] === 0) widths[name] = context.measureText(tree.names[name]).width;
      const text = fit(tree.names[name], widths[name], shapes.width[i] - 2 * PADDING);
      if (text) context.fillText(text, Math.round(shapes.x[i]) + PADDING, shapes.y[i] + middle);
    }
  }
}

/** A name cut to a width, by the mean width of its characters. Of a long path the end says more than the start. */
export function fit(name: string, full: number, room: number): string {
  if (full <= room) return name;
  const short = shortName(name);
  const each = full / name.length;
  // The mean is of the whole name: what is kept of it may be wider.
  const characters = Math.floor(room / (each * 1.1));
  if (short.length <= characters) return short;
  return characters < 4 ? '' : short.slice(0, characters - 1) + '…';
}

/** `github.com/acme/shop/cart.(*Cart).Add` → `cart.(*Cart).Add`. */
export function shortName(name: string): string {
  const stop = name.search(/[(<[\s]/);
  const slash = (stop < 0 ? name : name.slice(0, stop)).lastIndexOf('/');
  return slash >= 0 && slash + 1 < name.length ? name.slice(slash + 1) : name;
}
