// Layout and drawing of large trees on a real canvas; `run.mjs` opens this in Chromium and prints what `bench` returns.

import { nameBuckets, palette } from '../src/flame/color';
import { draw } from '../src/flame/draw';
import { functions } from '../src/flame/functions';
import { layout, rectangles } from '../src/flame/layout';
import { search } from '../src/flame/search';
import { childrenOf, fromLevels, type FlameTree, type WireFlameGraph } from '../src/flame/tree';
import { synthetic } from '../test/trees';

/** The tree as the server sends it. */
function wire(tree: FlameTree): WireFlameGraph {
  const levels: { values: string[] }[] = [];
  for (let level = 0; level + 1 < tree.levelStart.length; level++) {
    const values: string[] = [];
    let end = 0;
    for (let node = tree.levelStart[level]; node < tree.levelStart[level + 1]; node++) {
      values.push(String(tree.x[node] - end), String(tree.total[node]), String(tree.self[node]), String(tree.name[node]));
      end = tree.x[node] + tree.total[node];
    }
    levels.push({ values });
  }
  return { names: tree.names, levels };
}

function time(runs: number, work: () => void): { median: number; worst: number } {
  work();
  const taken = Array.from({ length: runs }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  }).sort((a, b) => a - b);
  return { median: taken[runs >> 1], worst: taken[runs - 1] };
}

export function bench(nodes: number): Record<string, { median: number; worst: number }> {
  const made = synthetic(nodes);
  const text = JSON.stringify(wire(made));
  const tree = fromLevels(JSON.parse(text) as WireFlameGraph);
  const canvas = document.querySelector('canvas')!;
  canvas.width = 1440;
  canvas.height = 900;
  const context = canvas.getContext('2d', { alpha: false })!;
  const shapes = rectangles();
  const widths = new Float32Array(tree.names.length);
  const look = { palette: palette('dark'), buckets: nameBuckets(tree.names, 'package'), diff: null, found: null, marked: -1, rowHeight: 20 };
  const view = { width: 1440, height: 900, scroll: 0, rowHeight: 20, orientation: 'icicle' as const };
  const frame = (focus: number, scroll = 0) => {
    layout(tree, focus, { ...view, scroll }, shapes);
    draw(context, tree, shapes, look, widths, 1440, 900);
    // Reading a pixel waits until all is drawn.
    context.getImageData(0, 0, 1, 1);
  };
  let turn = 0;
  const [first, last] = childrenOf(tree, 0);
  return {
    'parse the answer (JSON)': time(9, () => fromLevels(JSON.parse(text) as WireFlameGraph)),
    'layout alone': time(51, () => layout(tree, 0, view, shapes)),
    'layout and draw': time(51, () => frame(0)),
    'layout and draw, scrolling': time(51, () => frame(0, (turn++ % 20) * 15)),
    'layout and draw, zooming': time(51, () => frame(first + (turn++ % Math.max(1, last - first)))),
    search: time(21, () => search(tree, 'json')),
    'functions of the table': time(21, () => functions(tree)),
  };
}

/** Frames a second while the graph is scrolled, as the browser counts them. */
export async function frames(nodes: number): Promise<number> {
  const tree = synthetic(nodes);
  const canvas = document.querySelector('canvas')!;
  const context = canvas.getContext('2d', { alpha: false })!;
  const shapes = rectangles();
  const widths = new Float32Array(tree.names.length);
  const look = { palette: palette('dark'), buckets: nameBuckets(tree.names, 'package'), diff: null, found: null, marked: -1, rowHeight: 20 };
  const next = () => new Promise<number>((done) => requestAnimationFrame(done));
  const start = await next();
  let now = start;
  let count = 0;
  for (; now - start < 3000; count++) {
    layout(tree, 0, { width: 1440, height: 900, scroll: (count % 40) * 8, rowHeight: 20, orientation: 'icicle' }, shapes);
    draw(context, tree, shapes, look, widths, 1440, 900);
    now = await next();
  }
  return (count / (now - start)) * 1000;
}

Object.assign(window, { bench, framesOf: frames });
