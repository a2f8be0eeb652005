// The state of the page as a query string: all of it, so that a link shows what its sender saw.

import type { SortKey } from '../flame/functions';
import type { Orientation } from '../flame/layout';

export type View = 'explore' | 'compare' | 'heatmap';
export type Pane = 'both' | 'flame' | 'table' | 'sandwich' | 'trend';

/** A side of a comparison; empty fields are those of the main query. */
export interface Side {
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
  /** Function of the sandwich. */
  func: string;
  sort: SortKey;
  ascending: boolean;
  nodes: number;
  /** A single profile, or spans with commas. */
  profile: string;
  span: string;
  heat: 'profiles' | 'spans';
  side: 'diff' | 'both';
  left: Side;
  right: Side;
}

const SIDE: Side = { filter: '', from: '', until: '' };

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
  func: '',
  sort: 'self',
  ascending: false,
  nodes: 16384,
  profile: '',
  span: '',
  heat: 'profiles',
  side: 'diff',
  left: SIDE,
  right: SIDE,
};

const CHOICES: Partial<Record<keyof State, readonly string[]>> = {
  view: ['explore', 'compare', 'heatmap'],
  pane: ['both', 'flame', 'table', 'sandwich', 'trend'],
  orientation: ['icicle', 'flame'],
  color: ['package', 'function'],
  sort: ['name', 'self', 'total', 'left', 'right', 'change'],
  heat: ['profiles', 'spans'],
  side: ['diff', 'both'],
};

/** Nodes that may be asked for. */
export const NODES = [2048, 8192, 16384, 65536, 200000];

export function parse(query: string): State {
  const params = new URLSearchParams(query);
  const state: State = { ...DEFAULTS, left: { ...SIDE }, right: { ...SIDE } };
  const target = state as unknown as Record<string, unknown>;
  for (const [key, fallback] of Object.entries(DEFAULTS) as [keyof State, unknown][]) {
    if (key === 'left' || key === 'right') {
      for (const field of ['filter', 'from', 'until'] as const) state[key][field] = params.get(`${key}.${field}`) ?? '';
      continue;
    }
    const text = params.get(key);
    if (text === null) continue;
    const choices = CHOICES[key];
    if (typeof fallback === 'boolean') target[key] = text === '1';
    else if (typeof fallback === 'number') target[key] = NODES.includes(Number(text)) ? Number(text) : fallback;
    else if (!choices || choices.includes(text)) target[key] = text;
  }
  return state;
}

/** Only what differs from the defaults. */
export function format(state: State): string {
  const params = new URLSearchParams();
  for (const [key, fallback] of Object.entries(DEFAULTS) as [keyof State, unknown][]) {
    const value = state[key];
    if (key === 'left' || key === 'right') {
      for (const field of ['filter', 'from', 'until'] as const) if (state[key][field]) params.set(`${key}.${field}`, state[key][field]);
    } else if (value !== fallback) params.set(key, typeof value === 'boolean' ? (value ? '1' : '0') : String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : '';
}
