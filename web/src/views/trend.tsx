// Top functions over time: the range cut into slices, a flame graph of each, the own time of the largest functions.

import { useMemo, useState } from 'react';
import { flameGraph, type Query } from '../data/api';
import { slices } from '../data/slices';
import { usePage } from '../data/state';
import { parseType, seriesValue } from '../data/types';
import { useQuery } from '../data/use-query';
import { formatValue } from '../data/units';
import type { Theme } from '../flame/color';
import { shortName } from '../flame/draw';
import { functions } from '../flame/functions';
import { matcher } from '../flame/search';
import { lineColor, TimeChart, type Line } from '../ui/time-chart';
import { GraphState, mean } from './explore';

const SLICES = 24;
const AT_ONCE = 3;
const LINES = 10;
const NODES = 4096;

interface Slice {
  time: number;
  self: Map<string, number>;
}

export function Trend({ theme, query, base }: { theme: Theme; query: Query; base: string }) {
  const { state, update } = usePage();
  const [by, setBy] = useState(-1);
  const { parts, every } = useMemo(() => slices(query, SLICES), [query.start, query.end]);
  const answer = useQuery('functions over time', `trend|${base}`, async (signal, progress) => {
    const done: Slice[] = [];
    const bytes: number[] = [];
    let next = 0;
    const worker = async () => {
      while (next < parts.length) {
        const at = next++;
        const told = (size: number) => {
          bytes[at] = size;
          progress(bytes.reduce((sum, each) => sum + (each ?? 0), 0));
        };
        const tree = await flameGraph({ ...query, ...parts[at] }, { maxNodes: NODES, profileIds: [], spans: [] }, { tenant: state.tenant, signal, progress: told });
        done[at] = { time: parts[at].end, self: new Map(functions(tree).map((row) => [row.label, row.self])) };
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return done;
  });
  const type = parseType(state.type);
  const unit = seriesValue(type, 0, every).unit;
  const lines = useMemo(() => topLines(answer.data ?? [], state.search).map((line) => ({ ...line, values: line.values.map((value) => seriesValue(type, value, every).value) })), [answer.data, state.search]);
  return (
    <GraphState query={answer}>
      <div className="card trend">
        <div className="card-head">
          <h2>Own time of the top functions</h2>
          <span className="muted">{unit} · {SLICES} slices</span>
        </div>
        <TimeChart lines={lines} unit={unit} range={query} step={every} theme={theme} label="Top functions over time" height={280} highlight={by} brush={({ start, end }) => update({ from: String(start), until: String(end) })} />
        <ol className="legend column" aria-label="Top functions">
          {lines.map((line, i) => (
            <li key={line.label}>
              <button type="button" title={line.label} onPointerEnter={() => setBy(i)} onPointerLeave={() => setBy(-1)} onFocus={() => setBy(i)} onBlur={() => setBy(-1)} onClick={() => update({ pane: 'sandwich', func: line.label })}>
                <i style={{ background: lineColor(i, lines.length, theme) }} />
                <span className="legend-text">{shortName(line.label)}</span>
                <span className="muted">{formatValue(mean(line.values), unit)}</span>
              </button>
            </li>
          ))}
        </ol>
      </div>
    </GraphState>
  );
}

/** The functions with most own time over all slices; those of a search if there is one. */
function topLines(found: Slice[], search: string): Line[] {
  const sums = new Map<string, number>();
  const matches = matcher(search);
  for (const slice of found) for (const [name, value] of slice.self) if (name !== 'other' && (!matches || matches(name))) sums.set(name, (sums.get(name) ?? 0) + value);
  const top = [...sums].sort((a, b) => b[1] - a[1]).slice(0, LINES);
  return top.map(([label]) => ({ label, times: found.map((slice) => slice.time), values: found.map((slice) => slice.self.get(label) ?? 0) }));
}
