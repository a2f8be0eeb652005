// Top functions over time, as the server counts them: areas one on the other, or lines; a function opens in the flame graph.

import { useDeferredValue, useMemo, useState } from 'react';
import { functionSeries, type FunctionSeries, type Query } from '../data/api';
import { usePage } from '../data/state';
import { spacing, step } from '../data/time';
import { parseType, seriesValue, type ProfileType } from '../data/types';
import { useQuery } from '../data/use-query';
import { formatCount, formatShare, formatValue } from '../data/units';
import { TOPS } from '../data/url';
import type { Theme } from '../flame/color';
import { shortName } from '../flame/draw';
import { asRegex } from '../flame/search';
import { Notice } from '../ui/notice';
import { Segmented } from '../ui/segmented';
import { lineColor, LINES_MAX, TimeChart, type Line } from '../ui/time-chart';
import { GraphState, mean } from './explore';

const POINTS = 160;
const REST = 'everything else';

export function Trend({ theme, query, base, open }: { theme: Theme; query: Query; base: string; open: (name: string) => void }) {
  const { state, update } = usePage();
  const [over, setOver] = useState(-1);
  const every = step(query, POINTS);
  const { by, top } = state;
  const search = useDeferredValue(state.search.trim());
  const answer = useQuery('functions over time', `functions|${base}|${every}|${top}|${by}|${search}`, (signal, progress) =>
    functionSeries(query, { step: every, limit: top, by, ...asRegex(search) }, { tenant: state.tenant, signal, progress }),
  );
  const type = parseType(state.type);
  const unit = seriesValue(type, 0, every).unit;
  // Totals of functions that call each other lie within each other: a stack of them would count twice.
  const stacked = by === 'self' && state.shape === 'area';
  const found = useMemo(() => answer.data && regular(answer.data), [answer.data]);
  const lines = useMemo(() => (found ? linesOf(found, type, theme, stacked) : []), [found, theme, stacked]);
  const lit = useMemo(() => (over < 0 ? null : new Set([over])), [over]);
  const whole = found ? mean(found.totals.map((value) => seriesValue(type, value, found.step).value)) : 0;
  if (answer.code === '404' || answer.code === 'not_found' || answer.code === 'unimplemented')
    return <Notice title="This server is older than its page">It does not count functions over time yet. The flame graph and the table show the whole range.</Notice>;
  return (
    <GraphState query={answer}>
      <div className={answer.stale ? 'trend stale' : 'trend'}>
        <div className="card-head">
          <h2>Top functions by {by === 'self' ? 'own' : 'total'} value</h2>
          <span className="muted">
            {unit}
            {answer.data && answer.data.found > answer.data.functions.length && ` · ${formatCount(answer.data.functions.length)} of ${formatCount(answer.data.found)}`}
          </span>
          <span className="spacer" />
          <Segmented
            label="Value"
            value={by}
            options={[
              { value: 'self', text: 'Self', title: 'In the function itself' },
              { value: 'total', text: 'Total', title: 'With all that it calls' },
            ]}
            choose={(value) => update({ by: value }, 'replace')}
          />
          {by === 'self' && (
            <Segmented
              label="Shape"
              value={state.shape}
              options={[
                { value: 'area', text: 'Areas' },
                { value: 'lines', text: 'Lines' },
              ]}
              choose={(shape) => update({ shape }, 'replace')}
            />
          )}
          <select className="input small" aria-label="How many functions" value={top} onChange={(event) => update({ top: Number(event.target.value) }, 'replace')}>
            {TOPS.map((each) => (
              <option key={each} value={each}>
                Top {each}
              </option>
            ))}
          </select>
        </div>
        {answer.data && lines.length === 0 ? (
          <Notice title="No functions here">{search ? 'None has that in its name.' : 'There are no samples in this range.'}</Notice>
        ) : (
          <TimeChart lines={lines} unit={unit} range={query} step={answer.data?.step ?? every} theme={theme} label="Top functions over time" height={300} lit={lit} stacked={stacked} brush={({ start, end }) => update({ from: String(start), until: String(end) })} />
        )}
        <ol className="legend column" aria-label="Top functions">
          {lines.map((line, i) =>
            line.label === REST ? null : (
              <li key={line.label}>
                <button
                  type="button"
                  title={`${line.label}: open in the flame graph`}
                  className={lit && !lit.has(i) ? 'dim' : undefined}
                  onPointerEnter={() => setOver(i)}
                  onPointerLeave={() => setOver(-1)}
                  onFocus={() => setOver(i)}
                  onBlur={() => setOver(-1)}
                  onClick={() => open(line.label)}
                >
                  <i style={{ background: line.color }} />
                  <span className="legend-text">{shortName(line.label)}</span>
                  <span className="figure">{formatValue(mean(line.values), unit)}</span>
                  <span className="muted">{formatShare(mean(line.values), whole)}</span>
                </button>
              </li>
            ),
          )}
        </ol>
      </div>
    </GraphState>
  );
}

/** A profile a minute in steps of 15 s is no comb: only moments with profiles count, each for the time to the next one. */
export function regular(found: FunctionSeries): FunctionSeries {
  const at = found.totals.flatMap((total, i) => (total > 0 ? [i] : []));
  const times = at.map((i) => found.times[i]);
  const every = spacing(times, found.step);
  if (every < 2 * found.step) return found;
  const pick = (values: number[]) => at.map((i) => values[i]);
  return { ...found, step: every, times, totals: pick(found.totals), functions: found.functions.map((each) => ({ ...each, values: pick(each.values) })) };
}

/** Rates of each function; in a stack, what is left of the whole lies on top. */
export function linesOf(found: FunctionSeries, type: ProfileType, theme: Theme, withRest: boolean): Line[] {
  const rate = (value: number) => seriesValue(type, value, found.step).value;
  const count = Math.max(2, found.functions.length);
  const lines: Line[] = found.functions.map((each, i) => ({ label: each.name, times: found.times, values: each.values.map(rate), color: lineColor(i, count, theme) }));
  if (!withRest || lines.length === 0 || lines.length >= LINES_MAX) return lines;
  const rest = found.totals.map((total, i) => Math.max(0, rate(total) - lines.reduce((sum, line) => sum + (line.values[i] ?? 0), 0)));
  return rest.some((value) => value > 0) ? [...lines, { label: REST, times: found.times, values: rest, color: theme === 'light' ? '#c9cad1' : '#4b4d55' }] : lines;
}
