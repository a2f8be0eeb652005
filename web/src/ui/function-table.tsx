// Functions with self and total: a real table for eyes and for screen readers, of which only visible rows exist.

import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import { formatChange, formatShare, formatValue } from '../data/units';
import { shortName } from '../flame/draw';
import { change, functions, sortRows, type FunctionRow, type SortKey } from '../flame/functions';
import { matcher } from '../flame/search';
import type { FlameTree } from '../flame/tree';
import { reveal, useWindow } from './virtual-list';

interface Props {
  tree: FlameTree;
  unit: string;
  search: string;
  sort: SortKey;
  ascending: boolean;
  setSort: (sort: SortKey, ascending: boolean) => void;
  marked: number;
  choose: (row: FunctionRow) => void;
  open: (row: FunctionRow) => void;
}

const ROW = 26;
const HEAD = 28;

const SINGLE: { key: SortKey; text: string }[] = [
  { key: 'name', text: 'Function' },
  { key: 'self', text: 'Self' },
  { key: 'total', text: 'Total' },
];
const DOUBLE: { key: SortKey; text: string }[] = [
  { key: 'name', text: 'Function' },
  { key: 'left', text: 'Baseline' },
  { key: 'right', text: 'Comparison' },
  { key: 'change', text: 'Change' },
];

export function FunctionTable({ tree, unit, search, sort, ascending, setSort, marked, choose, open }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const all = useMemo(() => functions(tree), [tree]);
  const sides = tree.sides;
  const columns = sides ? DOUBLE : SINGLE;
  const key = columns.some((column) => column.key === sort) ? sort : sides ? 'change' : 'self';
  const rows = useMemo(() => {
    const matches = matcher(search);
    const found = matches ? all.filter((row) => matches(row.label)) : all;
    const sorted = sortRows(found, key, !ascending, sides?.leftTicks, sides?.rightTicks);
    // The largest changes first, whichever way they go.
    if (key !== 'change' || ascending) return sorted;
    const size = (row: FunctionRow) => Math.abs(change(row, sides?.leftTicks ?? 0, sides?.rightTicks ?? 0));
    return sorted.sort((a, b) => size(b) - size(a));
  }, [all, search, key, ascending, sides]);
  const { first, last, top, height } = useWindow(scroller, rows.length, ROW);
  const [active, setActive] = useState(0);
  useLayoutEffect(() => setActive(0), [rows]);
  const whole = tree.total[0] || 1;
  const go = (index: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, index));
    setActive(next);
    reveal(scroller.current, next, ROW, HEAD);
  };
  return (
    <div
      className={sides ? 'table double' : 'table'}
      ref={scroller}
      tabIndex={0}
      role="table"
      aria-label="Functions"
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length}
      onKeyDown={(event) => {
        const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 };
        if (event.target instanceof HTMLButtonElement && event.key === 'Enter') return;
        if (event.key in steps) go(active + steps[event.key]);
        else if (event.key === 'Home') go(0);
        else if (event.key === 'End') go(rows.length - 1);
        else if (event.key === 'Enter' && rows[active]) choose(rows[active]);
        else if (event.key === 's' && rows[active]) open(rows[active]);
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      <div className="table-head" role="row" aria-rowindex={1}>
        {columns.map((column) => (
          <div key={column.key} role="columnheader" aria-sort={key === column.key ? (ascending ? 'ascending' : 'descending') : 'none'} className={column.key === 'name' ? 'cell name' : 'cell number'}>
            <button type="button" tabIndex={-1} onClick={() => setSort(column.key, key === column.key ? !ascending : column.key === 'name')}>
              {column.text}
              <span className="sort" aria-hidden="true">{key === column.key ? (ascending ? '↑' : '↓') : ''}</span>
            </button>
          </div>
        ))}
      </div>
      <div style={{ height, position: 'relative' }} role="rowgroup">
        <div style={{ transform: `translateY(${top}px)` }} role="presentation">
          {rows.slice(first, last).map((row, i) => {
            const index = first + i;
            const className = `table-row${index === active ? ' active' : ''}${row.name === marked ? ' marked' : ''}`;
            return (
              <div key={row.name} role="row" aria-rowindex={index + 2} className={className} onClick={() => { setActive(index); choose(row); }} onDoubleClick={() => open(row)}>
                <div role="cell" className="cell name" title={row.label}>
                  {shortName(row.label)}
                </div>
                {sides ? (
                  <Compared row={row} leftTicks={sides.leftTicks} rightTicks={sides.rightTicks} />
                ) : (
                  <>
                    <Value value={row.self} whole={whole} unit={unit} />
                    <Value value={row.total} whole={whole} unit={unit} />
                  </>
                )}
              </div>
            );
          })}
        </div>
      </div>
      {rows.length === 0 && <p className="nothing">No function matches</p>}
    </div>
  );
}

function Value({ value, whole, unit }: { value: number; whole: number; unit: string }) {
  return (
    <div role="cell" className="cell number">
      <span className="share-bar" style={{ transform: `scaleX(${Math.min(1, value / whole)})` }} aria-hidden="true" />
      <span className="value">{formatValue(value, unit)}</span>
      <span className="share">{formatShare(value, whole)}</span>
    </div>
  );
}

function Compared({ row, leftTicks, rightTicks }: { row: FunctionRow; leftTicks: number; rightTicks: number }) {
  const points = change(row, leftTicks, rightTicks);
  const tone = Math.abs(points) < 0.005 ? '' : points > 0 ? 'more' : 'less';
  return (
    <>
      <div role="cell" className="cell number">{formatShare(row.leftTotal, leftTicks)}</div>
      <div role="cell" className="cell number">{formatShare(row.rightTotal, rightTicks)}</div>
      <div role="cell" className={`cell number ${tone}`}>{formatChange(points)}</div>
    </>
  );
}
