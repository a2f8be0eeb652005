// A flame graph as an SVG file that stands alone.

import { diffBuckets, diffPalette, nameBuckets, palette, type ColorBy, type Theme } from './color';
import { fillOf, fit, type Look } from './draw';
import { fullHeight, layout, rectangles, type Orientation } from './layout';
import type { FlameTree } from './tree';
import type { Span } from './zoom';

export interface SvgOptions {
  title: string;
  width: number;
  focus: number;
  /** The part that fills the width, where it is not the focused node's. */
  span?: Span;
  orientation: Orientation;
  theme: Theme;
  colorBy: ColorBy;
  found: Uint8Array | null;
  describe: (node: number) => string;
}

const ROW = 18;
const TOP = 34;
/** The mean width of a character at 11 px; a file cannot measure. */
const CHARACTER = 6.1;

export function svg(tree: FlameTree, options: SvgOptions): string {
  const colors = palette(options.theme);
  const look: Look = {
    palette: colors,
    buckets: tree.sides ? diffBuckets(tree) : nameBuckets(tree.names, options.colorBy),
    diff: tree.sides ? diffPalette(options.theme) : null,
    found: options.found,
    marked: -1,
    rowHeight: ROW,
  };
  const height = fullHeight(tree, ROW);
  const view = { width: options.width, height, scroll: 0, rowHeight: ROW, orientation: options.orientation };
  const shapes = layout(tree, options.focus, view, rectangles(), options.span);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${options.width}" height="${height + TOP}" viewBox="0 0 ${options.width} ${height + TOP}" font-family="system-ui, sans-serif" font-size="11">`,
    `<title>${escape(options.title)}</title>`,
    `<rect width="100%" height="100%" fill="${colors.background}"/>`,
    `<text x="8" y="21" font-size="13" fill="${colors.text}">${escape(options.title)}</text>`,
  ];
  for (let i = 0; i < shapes.count; i++) {
    const node = shapes.node[i];
    const width = Math.max(0.5, shapes.width[i] - (shapes.width[i] > 3 && node >= 0 ? 1 : 0));
    const bar = `<rect x="${round(shapes.x[i])}" y="${shapes.y[i] + TOP}" width="${round(width)}" height="${ROW - 1}" fill="${fillOf(tree, shapes, i, look)}"/>`;
    if (node < 0) {
      parts.push(bar);
      continue;
    }
    const name = tree.names[tree.name[node]];
    const text = width > 28 ? fit(name, name.length * CHARACTER, width - 8) : '';
    const label = text && `<text x="${round(shapes.x[i] + 4)}" y="${shapes.y[i] + TOP + 12.5}" fill="${colors.text}">${escape(text)}</text>`;
    parts.push(`<g><title>${escape(options.describe(node))}</title>${bar}${label}</g>`);
  }
  parts.push('</svg>');
  return parts.join('\n');
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

export function escape(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
