// Colours of bars: calm, of one lightness, so that no bar shouts and text is readable on all of them.
//
// Hues come from the package of a function; in a diff, from the change of its share.

import { hashText, type FlameTree } from './tree';

export type Theme = 'light' | 'dark';
export type ColorBy = 'package' | 'function' | 'diff';

/** The part of a function's name that its team would call a package. */
export function packageOf(name: string): string {
  let text = name.trim();
  // Go: a/b/c.(*T).Method; Java: a/b/C.method or a.b.C.method; Rust and C++: a::b::c; Python and Node: path/file.py:function.
  const space = text.search(/[ (<[]/);
  if (space > 0 && !text.startsWith('(')) text = text.slice(0, space);
  const file = text.match(/^(.*\.(?:py|js|ts|mjs|cjs|jsx|tsx|rb|php|cs))(?::|$)/);
  if (file) return directory(file[1]);
  if (text.includes('::')) {
    const parts = text.replace(/^_?</, '').split('::');
    return parts[0];
  }
  const slash = text.lastIndexOf('/');
  const dot = text.indexOf('.', slash + 1);
  if (slash >= 0) return dot > 0 ? text.slice(0, dot) : text.slice(0, slash);
  if (dot < 0) return text.startsWith('[') ? text : '';
  const parts = text.split('.');
  // Java has a class and a method behind its package; Go has one name, or a type and a method.
  return parts.length > 3 ? parts.slice(0, -2).join('.') : parts[0];
}

function directory(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash > 0 ? path.slice(0, slash) : path;
}

/** Buckets of hues; bars of a bucket are drawn in one go. */
export const HUES = 18;

export interface Palette {
  /** By bucket: fill and the same faded towards the background. */
  fill: string[];
  faded: string[];
  /** What has no package: kernels, unknown addresses, the root. */
  plain: string;
  plainFaded: string;
  /** Bars too narrow to tell apart, and such with a match among them. */
  run: string;
  runMatch: string;
  text: string;
  textFaded: string;
  match: string;
  outline: string;
  selected: string;
  background: string;
}

const LIGHT = { lightness: 0.855, chroma: 0.062, faded: 0.955, fadedChroma: 0.016 };
const DARK = { lightness: 0.46, chroma: 0.07, faded: 0.265, fadedChroma: 0.014 };

export function palette(theme: Theme): Palette {
  const tone = theme === 'light' ? LIGHT : DARK;
  const hue = (i: number) => (i * 360) / HUES + 20;
  const of = (lightness: number, chroma: number) => Array.from({ length: HUES }, (_, i) => oklch(lightness, chroma, hue(i)));
  return {
    fill: of(tone.lightness, tone.chroma),
    faded: of(tone.faded, tone.fadedChroma),
    plain: theme === 'light' ? '#dcdde1' : '#4b4d55',
    plainFaded: theme === 'light' ? '#f1f1f3' : '#25262b',
    run: theme === 'light' ? '#e9eaed' : '#303239',
    runMatch: theme === 'light' ? '#f9dfa6' : '#6b5021',
    text: theme === 'light' ? '#1b1c20' : '#f2f2f4',
    textFaded: theme === 'light' ? '#696b76' : '#9598a2',
    match: theme === 'light' ? '#f2b233' : '#926405',
    outline: theme === 'light' ? '#1b1c20' : '#f2f2f4',
    selected: theme === 'light' ? '#b3440f' : '#ff9457',
    background: theme === 'light' ? '#ffffff' : '#131418',
  };
}

/** Less is blue and more is red, which eyes without red or green tell apart too. */
const LESS = 250;
const MORE = 28;

/** Buckets of a diff: from much less (0) over the same (6) to much more (12). */
export const CHANGES = 13;

export function diffPalette(theme: Theme): string[] {
  return Array.from({ length: CHANGES }, (_, i) => {
    const strength = Math.abs(i - 6) / 6;
    if (strength === 0) return theme === 'light' ? '#e2e3e7' : '#3c3e46';
    const hue = i < 6 ? LESS : MORE;
    return theme === 'light'
      ? oklch(0.93 - 0.17 * strength, 0.02 + 0.11 * strength, hue)
      : oklch(0.36 + 0.14 * strength, 0.02 + 0.11 * strength, hue);
  });
}

/** Changes below this part of a doubling have no colour. */
const NOISE = 0.15;

/** The bucket of a node's change: the share on the right over that on the left, on a scale of doublings. */
export function changeBucket(left: number, leftTicks: number, right: number, rightTicks: number): number {
  const before = leftTicks > 0 ? left / leftTicks : 0;
  const after = rightTicks > 0 ? right / rightTicks : 0;
  if (before === after) return 6;
  if (before === 0) return 12;
  if (after === 0) return 0;
  const doublings = Math.max(-1, Math.min(1, Math.log2(after / before)));
  // A tenth more or less is noise, and must not paint the whole graph.
  if (Math.abs(doublings) < NOISE) return 6;
  const steps = Math.max(1, Math.round(((Math.abs(doublings) - NOISE) / (1 - NOISE)) * 6));
  return 6 + Math.sign(doublings) * steps;
}

/** The bucket of each name, -1 for those without a package. */
export function nameBuckets(names: string[], by: ColorBy): Int8Array {
  return Int8Array.from(names, (name, i) => {
    if (i === 0 || name === 'other' || name === 'total') return -1;
    const key = by === 'function' ? name : packageOf(name);
    return key === '' ? -1 : hashText(key) % HUES;
  });
}

/** The bucket of each node of a diff. */
export function diffBuckets(tree: FlameTree): Int8Array {
  const sides = tree.sides!;
  return Int8Array.from(tree.x, (_, node) => changeBucket(sides.leftTotal[node], sides.leftTicks, sides.rightTotal[node], sides.rightTicks));
}

/** OKLCH as `#rrggbb`, cut to what sRGB has. */
export function oklch(lightness: number, chroma: number, hue: number): string {
  const angle = (hue * Math.PI) / 180;
  const a = chroma * Math.cos(angle);
  const b = chroma * Math.sin(angle);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return '#' + linear.map((value) => channel(value)).join('');
}

function channel(linear: number): string {
  const value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.round(Math.max(0, Math.min(1, value)) * 255).toString(16).padStart(2, '0');
}
