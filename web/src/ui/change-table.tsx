// Functions that changed: shares before and after, and on one scale where each change lies for sure. A dot is the change, the bar its interval.

import { useMemo, useRef, useState } from 'react';
import type { FunctionChange } from '../data/api';
import { formatChance, formatChange, formatShare } from '../data/units';
import { shortName } from '../flame/draw';

export type ChangeKey = 'name' | 'left' | 'right' | 'change' | 'p';

interface Props {
  rows: FunctionChange[];
  /** Percent; what the intervals hold. */
  sure: number;
  sort: ChangeKey;
  ascending: boolean;
  setSort: (sort: ChangeKey, ascending: boolean) => void;
  /** The function that is looked at. */
  marked: string;
  choose: (name: string) => void;
}

/** Numbers on the axis. */
const TICKS = 4;
const EDGE = 0.04;

export function ChangeTable({ rows, sure, sort, ascending, setSort, marked, choose }: Props) {
  const body = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const scale = useMemo(() => scaleOf(rows), [rows]);
  const sorted = useMemo(() => sortChanges(rows, sort, ascending), [rows, sort, ascending]);
  const reachable = Math.min(active, sorted.length - 1);
  const go = (index: number) => {
    const next = Math.max(0, Math.min(sorted.length - 1, index));
    setActive(next);
    body.current?.querySelectorAll('button')[next]?.focus();
  };
  const head = (key: ChangeKey, text: string, title: string) => (
    <div role="columnheader" className={`cell ${key}`} aria-sort={sort === key ? (ascending ? 'ascending' : 'descending') : 'none'}>
      <button type="button" title={title} onClick={() => setSort(key, sort === key ? !ascending : key === 'name' || key === 'p')}>
        {text}
        <span className="sort" aria-hidden="true">{sort === key ? (ascending ? '↑' : '↓') : ''}</span>
      </button>
    </div>
  );
  return (
    <div className="changes" role="table" aria-label="Functions that changed" aria-rowcount={sorted.length + 1}>
      <div className="changes-head" role="row">
        {head('name', 'Function', 'By name')}
        {head('left', 'Before', 'Mean share of the baseline’s profiles')}
        {head('right', 'After', 'Mean share of the comparison’s profiles')}
        {head('change', 'Change', 'In percentage points; beside it, as a part of the share before')}
        <div role="columnheader" className="cell plot" title={`The change, and where it lies with ${sure} % confidence, in percentage points`}>
          <span className="sr-only">{sure} % interval</span>
          {scale.ticks.map((tick) => (
            <span key={tick} className="tick" style={{ left: `${scale.x(tick)}%` }} aria-hidden="true">
              {formatTick(tick)}
            </span>
          ))}
        </div>
        {head('p', 'p', 'How likely so large a change is by chance, among all functions that were tested')}
      </div>
      <div
        role="rowgroup"
        ref={body}
        onKeyDown={(event) => {
          const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -sorted.length, End: sorted.length };
          if (!(event.key in steps)) return;
          event.preventDefault();
          event.stopPropagation();
          go(reachable + steps[event.key]);
        }}
      >
        {sorted.map((row, i) => (
          <div key={row.name} role="row" className={row.name === marked ? 'changes-row marked' : 'changes-row'} onClick={() => { setActive(i); choose(row.name); }}>
            <div role="cell" className="cell name">
              <button type="button" className="link plain" tabIndex={i === reachable ? 0 : -1} title={row.name} aria-label={`${row.name}: show it in the flame graph`} aria-pressed={row.name === marked} onFocus={() => setActive(i)}>
                {shortName(row.name)}
              </button>
            </div>
            <div role="cell" className="cell left">{formatShare(row.before, 1)}</div>
            <div role="cell" className="cell right">{formatShare(row.after, 1)}</div>
            <div role="cell" className={`cell change ${row.change > 0 ? 'more' : 'less'}`}>
              {formatChange(row.change * 100)} <span className="relative">{formatRelative(row.relative)}</span>
            </div>
            <Interval row={row} x={scale.x} />
            <div role="cell" className="cell p">{formatChance(row.p)}</div>
          </div>
        ))}
      </div>
    </div>
  );
}

function Interval({ row, x }: { row: FunctionChange; x: (change: number) => number }) {
  const text = `${formatChange(row.low * 100)} to ${formatChange(row.high * 100)}`;
  return (
    <div role="cell" className={`cell plot ${row.change > 0 ? 'more' : 'less'}`} title={`${text} percentage points`}>
      <span className="sr-only">{text}</span>
      <i className="zero" style={{ left: `${x(0)}%` }} aria-hidden="true" />
      <i className="interval" style={{ left: `${x(row.low)}%`, right: `${100 - x(row.high)}%` }} aria-hidden="true" />
      <i className="point" style={{ left: `${x(row.change)}%` }} aria-hidden="true" />
    </div>
  );
}

/** `+117 %`, `×12`, `new`. */
export function formatRelative(relative: number | null): string {
  if (relative === null) return 'new';
  if (relative >= 9.995) return `×${Math.round(relative + 1)}`;
  return `${relative < 0 ? '−' : '+'}${Math.abs(relative * 100).toFixed(Math.abs(relative) < 0.0995 ? 1 : 0)} %`;
}

/** Percentage points on the axis: `+2`, `−0.5`, `0`. */
const formatTick = (change: number) => (change === 0 ? '0' : `${change < 0 ? '−' : '+'}${Number(Math.abs(change * 100).toPrecision(3))}`);

export interface Scale {
  /** The place of a change, in percent of the width. */
  x: (change: number) => number;
  ticks: number[];
}

/** One scale for all rows, with zero on it. */
export function scaleOf(rows: FunctionChange[]): Scale {
  const least = Math.min(0, ...rows.map((row) => row.low));
  const most = Math.max(0, ...rows.map((row) => row.high));
  const span = most - least || 1;
  const [from, width] = [least - span * EDGE, span * (1 + 2 * EDGE)];
  const step = niceStep(span / TICKS);
  const first = Math.ceil(least / step);
  const ticks = Array.from({ length: Math.floor(most / step) - first + 1 }, (_, i) => (first + i) * step || 0);
  return { x: (change) => ((change - from) / width) * 100, ticks };
}

/** 1, 2 or 5 with a power of ten, at least as large. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5, 10].find((each) => each * power >= least * 0.999) ?? 10) * power;
}

/** Changes by their size, whichever way they go, unless they are to ascend: then from the largest decrease to the largest increase. */
export function sortChanges(rows: FunctionChange[], key: ChangeKey, ascending: boolean): FunctionChange[] {
  const size = (row: FunctionChange) => (ascending ? row.change : Math.abs(row.change));
  const value = { name: () => 0, left: (row: FunctionChange) => row.before, right: (row: FunctionChange) => row.after, change: size, p: (row: FunctionChange) => row.p }[key];
  const sign = ascending ? 1 : -1;
  const byName = (a: FunctionChange, b: FunctionChange) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return [...rows].sort((a, b) => (key === 'name' ? sign * byName(a, b) : sign * (value(a) - value(b)) || Math.abs(b.change) - Math.abs(a.change) || byName(a, b)));
}
