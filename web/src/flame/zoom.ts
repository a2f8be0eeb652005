// Which part of the x axis fills the width: a node's, or any that a person zoomed and dragged to.

import type { FlameTree } from './tree';

/** From and to in the tree's own values. */
export interface Span {
  from: number;
  to: number;
}

/** A part is never narrower than this share of the whole: below it neighbours differ by rounding alone. */
const NARROWEST_SHARE = 1e-9;
/** Links name places by so many digits of the whole. */
const DIGITS = 7;

export function spanOf(tree: FlameTree, node: number): Span {
  return { from: tree.x[node] ?? 0, to: (tree.x[node] ?? 0) + (tree.total[node] ?? 0) };
}

/** Wider (factor above 1) or narrower around a place of the screen: 0 is its left edge, 1 its right. */
export function zoomAt(span: Span, whole: Span, factor: number, at: number): Span {
  const all = whole.to - whole.from;
  const width = Math.max(all * NARROWEST_SHARE, Math.min(all, (span.to - span.from) * factor));
  const from = span.from + (span.to - span.from) * at - width * at;
  return inside({ from, to: from + width }, whole);
}

/** Moved to the right by a share of its own width. */
export function pan(span: Span, whole: Span, by: number): Span {
  const shift = (span.to - span.from) * by;
  return inside({ from: span.from + shift, to: span.to + shift }, whole);
}

/** Moved, as little as need be, so that a node shows; wider if the node is. */
export function showing(span: Span, node: Span, whole: Span): Span {
  if (node.to > span.from && node.from < span.to) return span;
  const width = Math.max(span.to - span.from, node.to - node.from);
  const from = node.from >= span.to ? node.to - width : node.from;
  return inside({ from, to: from + width }, whole);
}

function inside({ from, to }: Span, whole: Span): Span {
  const width = Math.min(to - from, whole.to - whole.from);
  const start = Math.max(whole.from, Math.min(from, whole.to - width));
  return { from: start, to: start + width };
}

/** A step of the way from one part to another, `t` from 0 to 1. */
export function between(a: Span, b: Span, t: number): Span {
  const eased = 1 - (1 - t) ** 3;
  return { from: a.from + (b.from - a.from) * eased, to: a.to + (b.to - a.to) * eased };
}

/** Nearer than a screen can show. */
export function same(a: Span, b: Span): boolean {
  const grain = (b.to - b.from) * 1e-4;
  return Math.abs(a.from - b.from) <= grain && Math.abs(a.to - b.to) <= grain;
}

/** `0.25-0.5`: shares of the whole, for links. Empty for the whole. */
export function formatSpan(span: Span, whole: Span): string {
  const all = whole.to - whole.from;
  if (!(all > 0) || same(span, whole)) return '';
  // Narrow parts want more digits, or the link would show another place.
  const digits = Math.min(14, DIGITS + Math.max(0, Math.ceil(-Math.log10((span.to - span.from) / all))));
  const share = (value: number) => String(Number(((value - whole.from) / all).toFixed(digits)));
  return `${share(span.from)}-${share(span.to)}`;
}

/** Null for what is no part. */
export function parseSpan(text: string, whole: Span): Span | null {
  const found = text.match(/^(\d(?:\.\d+)?(?:e-\d+)?)-(\d(?:\.\d+)?(?:e-\d+)?)$/);
  const all = whole.to - whole.from;
  if (!found || !(all > 0)) return null;
  const [from, to] = [Number(found[1]), Number(found[2])];
  if (!(from >= 0 && to <= 1 && to > from)) return null;
  return { from: whole.from + from * all, to: whole.from + to * all };
}
