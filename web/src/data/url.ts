// The state of the page as a query string: all of it, so that a link shows what its sender saw.

import type { SortKey } from '../flame/functions';
import type { Orientation } from '../flame/layout';

export type View = 'explore' | 'compare' | 'heatmap' | 'spans' | 'functions' | 'files';
export type Pane = 'both' | 'flame' | 'table' | 'sandwich' | 'trend' | 'changes';

/** A side of a comparison; empty fields are those of the main query. */
export interface Side {
  service: string;
  type: string;
  filter: string;
  from: string;
  until: string;
}

export interface State {
  view: View;
  tenant: string;
  service: string;
  type: string;
  filter: string;
  from: string;
  until: string;
  group: string;
  pane: Pane;
  orientation: Orientation;
  color: 'package' | 'function';
  collapse: boolean;
  search: string;
  /** Key of the focused node. */
  focus: string;
  /** The part of the graph that a person zoomed to by hand. */
  part: string;
  /** Function of the sandwich, and the blocks that are focused among its callers and callees. */
  func: string;
  above: string;
  below: string;
  sort: SortKey | 'p';
  ascending: boolean;
  nodes: number;
  /** A single profile; spans, or a trace, with commas. */
  profile: string;
  span: string;
  trace: string;
  /** A cell of a heatmap: the time of its column and its row. */
  cell: string;
  /** Functions over time, and those that changed: whose value; how drawn, how many. */
  by: 'self' | 'total';
  shape: 'area' | 'lines';
  top: number;
  /** What changed: how sure, in percent, and the smallest change that is told, in percentage points. */
  sure: number;
  least: number;
  /** The function that is looked for in all services. */
  find: string;
  /** An uploaded file, what it is compared with, and the type of values. */
  file: string;
  against: string;
  kind: string;
  side: 'diff' | 'both';
  left: Side;
  right: Side;
}

const SIDE: Side = { service: '', type: '', filter: '', from: '', until: '' };
const FIELDS = Object.keys(SIDE) as (keyof Side)[];

export const DEFAULTS: State = {
  view: 'explore',
  tenant: '',
  service: '',
  type: '',
  filter: '',
  from: 'now-1h',
  until: 'now',
  group: '',
  pane: 'both',
  orientation: 'icicle',
  color: 'package',
  collapse: false,
  search: '',
  focus: '',
  part: '',
  func: '',
  above: '',
  below: '',
  sort: 'self',
  ascending: false,
  nodes: 16384,
  profile: '',
  span: '',
  trace: '',
  cell: '',
  by: 'self',
  shape: 'area',
  top: 10,
  sure: 95,
  least: 0,
  find: '',
  file: '',
  against: '',
  kind: '',
  side: 'diff',
  left: SIDE,
  right: SIDE,
};

const CHOICES: Partial<Record<keyof State, readonly string[]>> = {
  view: ['explore', 'compare', 'heatmap', 'spans', 'functions', 'files'],
  pane: ['both', 'flame', 'table', 'sandwich', 'trend', 'changes'],
  orientation: ['icicle', 'flame'],
  color: ['package', 'function'],
  sort: ['name', 'self', 'total', 'left', 'right', 'change', 'p'],
  by: ['self', 'total'],
  shape: ['area', 'lines'],
  side: ['diff', 'both'],
};

/** Nodes that may be asked for, functions over time, how sure a change must be and how large. */
export const NODES = [2048, 8192, 16384, 65536, 200000];
export const TOPS = [5, 10, 20, 40];
export const SURE = [90, 95, 99, 99.9];
export const LEAST = [0, 0.1, 0.5, 1, 5];
const NUMBERS: Partial<Record<keyof State, readonly number[]>> = { nodes: NODES, top: TOPS, sure: SURE, least: LEAST };

/** What is said about the data of one service: gone when another one is chosen. */
export const OF_SERVICE: Partial<State> = { type: '', filter: '', group: '', focus: '', func: '', profile: '', span: '', trace: '', cell: '' };

export function parse(query: string): State {
  const params = new URLSearchParams(query);
  const state: State = { ...DEFAULTS, left: { ...SIDE }, right: { ...SIDE } };
  const target = state as unknown as Record<string, unknown>;
  for (const [key, fallback] of Object.entries(DEFAULTS) as [keyof State, unknown][]) {
    if (key === 'left' || key === 'right') {
      for (const field of FIELDS) state[key][field] = params.get(`${key}.${field}`) ?? '';
      continue;
    }
    const text = params.get(key);
    if (text === null) continue;
    const choices = CHOICES[key];
    if (typeof fallback === 'boolean') target[key] = text === '1';
    else if (typeof fallback === 'number') target[key] = NUMBERS[key]?.includes(Number(text)) ? Number(text) : fallback;
    else if (!choices || choices.includes(text)) target[key] = text;
  }
  // Links of before the spans had a view of their own.
  if (state.view === 'heatmap' && params.get('heat') === 'spans') state.view = 'spans';
  return state;
}

/** Only what differs from the defaults. */
export function format(state: State): string {
  const params = new URLSearchParams();
  for (const [key, fallback] of Object.entries(DEFAULTS) as [keyof State, unknown][]) {
    const value = state[key];
    if (key === 'left' || key === 'right') {
      for (const field of FIELDS) if (state[key][field]) params.set(`${key}.${field}`, state[key][field]);
    } else if (value !== fallback) params.set(key, typeof value === 'boolean' ? (value ? '1' : '0') : String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : '';
}
