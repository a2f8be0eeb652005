// What of a flame graph is on the screen: rectangles of the visible rows, none narrower than a pixel.
//
// A level is entered by bisection, and bars too narrow to see are run together: what is drawn is bounded by the screen, not by
// the tree, and what is looked at are the bars of the visible rows, once.

import { bisect, type FlameTree } from './tree';
import { spanOf, type Span } from './zoom';

export type Orientation = 'icicle' | 'flame';

export interface Viewport {
  /** Width and height of the canvas in CSS pixels, and how far it is scrolled. */
  width: number;
  height: number;
  scroll: number;
  rowHeight: number;
  orientation: Orientation;
}

/** Rectangles, reused from frame to frame. */
export interface Rectangles {
  count: number;
  /** -1 for a run of narrow bars. */
  node: Int32Array;
  /** The first node, and how many there are: more than one in a run. */
  first: Int32Array;
  nodes: Int32Array;
  x: Float32Array;
  y: Float32Array;
  width: Float32Array;
  /** 1 for what stands above the focused node: drawn faint. */
  above: Uint8Array;
  /** The order in which they are filled, and the colour of each: room for `draw`. */
  order: Int32Array;
  color: Uint8Array;
}

/** Bars narrower than this are run together. */
export const NARROWEST = 1.5;
/** So wide a run may become, in pixels. */
const RUN = 6;

export function rectangles(capacity = 4096): Rectangles {
  return {
    count: 0,
    node: new Int32Array(capacity),
    first: new Int32Array(capacity),
    nodes: new Int32Array(capacity),
    x: new Float32Array(capacity),
    y: new Float32Array(capacity),
    width: new Float32Array(capacity),
    above: new Uint8Array(capacity),
    order: new Int32Array(capacity),
    color: new Uint8Array(capacity),
  };
}

export function rows(tree: FlameTree): number {
  return tree.levelStart.length - 1;
}

/** Height of the whole graph. */
export function fullHeight(tree: FlameTree, rowHeight: number): number {
  return rows(tree) * rowHeight;
}

/** Top of a level in the viewport. */
export function levelTop(level: number, levels: number, view: Viewport): number {
  const row = view.orientation === 'icicle' ? level : levels - 1 - level;
  // A flame graph that is lower than its canvas stands on the ground.
  const ground = view.orientation === 'flame' ? Math.max(0, view.height - levels * view.rowHeight) : 0;
  return row * view.rowHeight - view.scroll + ground;
}

/** The level at a height of the viewport; it may not exist. */
export function levelAt(y: number, levels: number, view: Viewport): number {
  const ground = view.orientation === 'flame' ? Math.max(0, view.height - levels * view.rowHeight) : 0;
  const row = Math.floor((y + view.scroll - ground) / view.rowHeight);
  return view.orientation === 'icicle' ? row : levels - 1 - row;
}

/** Fills `out` with what is visible of `tree` when `span` is as wide as the viewport: that of `focus`, unless told otherwise. */
export function layout(tree: FlameTree, focus: number, view: Viewport, out: Rectangles, { from, to }: Span = spanOf(tree, focus)): Rectangles {
  out.count = 0;
  const levels = rows(tree);
  if (!(to > from) || !(view.width > 0)) return out;
  const scale = view.width / (to - from);
  for (let level = 0; level < levels; level++) {
    const y = levelTop(level, levels, view);
    if (y + view.rowHeight <= 0 || y >= view.height) continue;
    layoutLevel(tree, level, level < tree.depth[focus], y, from, to, scale, out);
  }
  return out;
}

function layoutLevel(tree: FlameTree, level: number, above: boolean, y: number, from: number, to: number, scale: number, out: Rectangles): void {
  const { x, total } = tree;
  const first = tree.levelStart[level];
  const end = tree.levelStart[level + 1];
  // The bar before the first that starts at `from` may reach into the viewport.
  let node = Math.max(first, bisect(x, from, first, end) - 1);
  if (x[node] + total[node] <= from) node++;
  while (node < end && x[node] < to) {
    const left = Math.max(x[node], from);
    const right = Math.min(x[node] + total[node], to);
    const width = (right - left) * scale;
    if (width >= NARROWEST) {
      push(out, node, 1, (left - from) * scale, y, width, above);
      node++;
      continue;
    }
    // Run together the narrow ones beside it, up to a few pixels; a gap of less than a pixel is none.
    let next = node + 1;
    let reach = right;
    while (next < end && x[next] < to && total[next] * scale < NARROWEST && x[next] < left + RUN / scale && x[next] - reach < 1 / scale) {
      reach = x[next] + total[next];
      next++;
    }
    const run = Math.min(reach, to) - left;
    if (run > 0) push(out, node, next - node, (left - from) * scale, y, Math.max(run * scale, 0.5), above);
    node = next;
  }
}

function push(out: Rectangles, first: number, nodes: number, x: number, y: number, width: number, above: boolean): void {
  if (out.count === out.node.length) grow(out);
  const at = out.count++;
  out.node[at] = nodes === 1 ? first : -1;
  out.first[at] = first;
  out.nodes[at] = nodes;
  out.x[at] = x;
  out.y[at] = y;
  out.width[at] = width;
  out.above[at] = above ? 1 : 0;
}

function grow(out: Rectangles): void {
  const larger = rectangles(out.node.length * 2);
  larger.node.set(out.node);
  larger.first.set(out.first);
  larger.nodes.set(out.nodes);
  larger.x.set(out.x);
  larger.y.set(out.y);
  larger.width.set(out.width);
  larger.above.set(out.above);
  out.node = larger.node;
  out.first = larger.first;
  out.nodes = larger.nodes;
  out.x = larger.x;
  out.y = larger.y;
  out.width = larger.width;
  out.above = larger.above;
  out.order = larger.order;
  out.color = larger.color;
}

/** The node at a point of the viewport, -1 for none. */
export function nodeAt(tree: FlameTree, { from, to }: Span, view: Viewport, px: number, py: number): number {
  const levels = rows(tree);
  const level = levelAt(py, levels, view);
  if (level < 0 || level >= levels || px < 0 || px > view.width) return -1;
  const at = from + (px / view.width) * (to - from);
  const first = tree.levelStart[level];
  const end = tree.levelStart[level + 1];
  let node = bisect(tree.x, at, first, end);
  if (node === end || tree.x[node] > at) node--;
  if (node < first) return -1;
  return at < tree.x[node] + tree.total[node] ? node : -1;
}

/** Where a node lies in the viewport; null if it is not to be seen. */
export function placeOf(tree: FlameTree, node: number, { from, to }: Span, view: Viewport): { x: number; y: number; width: number } | null {
  const y = levelTop(tree.depth[node], rows(tree), view);
  const left = Math.max(tree.x[node], from);
  const right = Math.min(tree.x[node] + tree.total[node], to);
  if (!(right > left) || y + view.rowHeight <= 0 || y >= view.height) return null;
  const scale = view.width / (to - from);
  return { x: (left - from) * scale, y, width: (right - left) * scale };
}
