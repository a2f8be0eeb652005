// Draws rectangles of `layout` to a canvas. Bars of one colour are filled together; texts come last, only where they fit.

import type { Palette } from './color';
import { NARROWEST, type Rectangles } from './layout';
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
  hovered: number;
  selected: number;
  /** A name whose bars are outlined, -1 for none. */
  marked: number;
  rowHeight: number;
}

/** Widths of names, measured once. */
export type Widths = Float32Array;

export function draw(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look, widths: Widths, width: number, height: number): void {
  context.fillStyle = look.palette.background;
  context.fillRect(0, 0, width, height);
  fillBars(context, tree, shapes, look);
  outlines(context, tree, shapes, look);
  texts(context, tree, shapes, look, widths);
}

/** The colour key of each rectangle: its bucket, faded or not, so that equal ones are filled in one path. */
function fillBars(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look): void {
  const groups = new Map<string, number[]>();
  for (let i = 0; i < shapes.count; i++) {
    const color = fillOf(tree, shapes.node[i], shapes.above[i] === 1, look);
    let group = groups.get(color);
    if (!group) groups.set(color, (group = []));
    group.push(i);
  }
  // Whole pixels and single rectangles: one path of thousands of them takes a browser ten times as long.
  const barHeight = look.rowHeight - 1;
  for (const [color, group] of groups) {
    context.fillStyle = color;
    for (const i of group) {
      const left = Math.round(shapes.x[i]);
      const width = Math.round(shapes.x[i] + shapes.width[i]) - left;
      // A gap of one pixel where there is room for it.
      context.fillRect(left, shapes.y[i], width > 2 ? width - 1 : Math.max(width, 1), barHeight);
    }
  }
}

export function fillOf(tree: FlameTree, node: number, above: boolean, look: Look): string {
  const palette = look.palette;
  if (node < 0) return look.found || above ? palette.plainFaded : palette.plain;
  const name = tree.name[node];
  if (look.found?.[name] && node > 0) return palette.match;
  const faded = above || look.found !== null;
  if (look.diff) return faded ? palette.plainFaded : look.diff[look.buckets[node]];
  const bucket = look.buckets[name];
  if (bucket < 0) return faded ? palette.plainFaded : palette.plain;
  return faded ? palette.faded[bucket] : palette.fill[bucket];
}

function outlines(context: CanvasRenderingContext2D, tree: FlameTree, shapes: Rectangles, look: Look): void {
  const barHeight = look.rowHeight - 1;
  const stroke = (i: number, color: string, line: number) => {
    context.strokeStyle = color;
    context.lineWidth = line;
    const inset = line / 2;
    context.strokeRect(Math.round(shapes.x[i]) + inset, shapes.y[i] + inset, Math.max(1, shapes.width[i] - 1 - line), barHeight - line);
  };
  for (let i = 0; i < shapes.count; i++) {
    const node = shapes.node[i];
    if (node < 0) continue;
    if (look.marked >= 0 && tree.name[node] === look.marked && shapes.width[i] > 2) stroke(i, look.palette.outline, 1);
    if (node === look.hovered) stroke(i, look.palette.outline, 1);
    if (node === look.selected) stroke(i, look.palette.selected, 2);
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

export { NARROWEST };
