// Two ranges, or two sets of labels, of one service: side by side, or as a diff.

import { useMemo } from 'react';
import { diff, flameGraph, series, type Query } from '../data/api';
import { selector } from '../data/selector';
import { fileName } from '../data/share';
import { usePage } from '../data/state';
import { describeRange, resolve, step, type Instants } from '../data/time';
import { isGauge, parseType, seriesValue, typeLabel } from '../data/types';
import { useQuery } from '../data/use-query';
import { formatChange, formatValue } from '../data/units';
import type { Side } from '../data/url';
import type { Theme } from '../flame/color';
import { isEmpty } from '../flame/tree';
import { LabelFilter } from '../ui/label-filter';
import { Notice } from '../ui/notice';
import { Segmented } from '../ui/segmented';
import { TimeChart, type Line } from '../ui/time-chart';
import { TimePicker } from '../ui/time-picker';
import { Analysis, DiffLegend } from './analysis';
import { Changes } from './changes';
import { GraphState, mean, savePprof } from './explore';

type Which = 'left' | 'right';

/** What a side asks: what it does not say itself is the first half, or the second, of the whole range. */
export function sideRange(side: Side, which: Which, whole: Instants, now: number): Instants {
  if (side.from && side.until) return resolve(side, now);
  // Sides that differ by labels look at all of it.
  if (side.filter) return whole;
  const middle = Math.floor((whole.start + whole.end) / 2);
  return which === 'left' ? { start: whole.start, end: middle } : { start: middle + 1, end: whole.end };
}

export function Compare({ theme }: { theme: Theme }) {
  const { state, update, now } = usePage();
  const whole = useMemo(() => resolve(state, now), [state.from, state.until, now]);
  const byLabels = state.left.filter !== '' || state.right.filter !== '';
  const query = (which: Which): Query => {
    const side = state[which];
    const range = byLabels && !side.from ? whole : sideRange(side, which, whole, now);
    return { ...range, type: state.type, selector: selector(state.service, [state.filter, side.filter].filter(Boolean).join(', ')) };
  };
  const left = query('left');
  const right = query('right');
  const asked = (each: Query) => [state.tenant, each.type, each.selector, each.start, each.end].join('|');
  const key = (each: Query) => `${asked(each)}|${state.nodes}`;
  const ready = state.type !== '';
  const both = useQuery('the comparison', ready && state.side === 'diff' ? `diff|${key(left)}|${key(right)}` : null, (signal, progress) => diff(left, right, state.nodes, { tenant: state.tenant, signal, progress }));
  const { unit } = parseType(state.type);
  const sides = both.data?.sides;
  return (
    <>
      <div className="sides">
        <SidePanel which="left" title="Baseline" query={left} whole={whole} theme={theme} />
        <SidePanel which="right" title="Comparison" query={right} whole={whole} theme={theme} />
      </div>
      <div className="compare-bar">
        <Segmented
          label="Show"
          value={state.side}
          options={[
            { value: 'diff', text: 'Diff' },
            { value: 'both', text: 'Side by side' },
          ]}
          choose={(side) => update({ side, focus: '' })}
        />
        {state.side === 'diff' && sides && (
          <p className="compare-sum">
            {formatValue(sides.leftTicks, unit)} → {formatValue(sides.rightTicks, unit)}
            {sides.leftTicks > 0 && <span className="muted"> {formatChange((sides.rightTicks / sides.leftTicks - 1) * 100)} %</span>}
          </p>
        )}
        <span className="spacer" />
        {state.side === 'diff' && <DiffLegend />}
      </div>
      {state.side === 'diff' ? (
        <GraphState query={both}>
          {both.data && (isEmpty(both.data) ? <Notice title="Nothing to compare">Neither side has profiles. Choose other ranges or labels above.</Notice> : <Analysis tree={both.data} unit={unit} theme={theme} title={`${state.service} · ${typeLabel(state.type)} · diff`} name={fileName(state.service, typeLabel(state.type), 'diff')} stale={both.stale} changes={(open) => <Changes left={left} right={right} base={`${asked(left)}|${asked(right)}`} open={open} />} />)}
        </GraphState>
      ) : (
        <div className="twins">
          <Twin query={left} name={key(left)} title="Baseline" theme={theme} />
          <Twin query={right} name={key(right)} title="Comparison" theme={theme} />
        </div>
      )}
    </>
  );
}

function Twin({ query, name, title, theme }: { query: Query; name: string; title: string; theme: Theme }) {
  const { state } = usePage();
  const graph = useQuery(`the flame graph (${title.toLowerCase()})`, state.type ? `graph|${name}` : null, (signal, progress) =>
    flameGraph(query, { maxNodes: state.nodes }, { tenant: state.tenant, signal, progress }),
  );
  const file = fileName(state.service, typeLabel(state.type), title);
  return (
    <div className="twin">
      <h2>{title}</h2>
      <GraphState query={graph}>
        {graph.data && (isEmpty(graph.data) ? <Notice title="No profiles">This side has none in its range.</Notice> : <Analysis tree={graph.data} unit={parseType(state.type).unit} theme={theme} title={`${state.service} · ${title}`} name={file} stale={graph.stale} second={title === 'Comparison'} pprof={() => savePprof(file, query, {}, state.tenant)} />)}
      </GraphState>
    </div>
  );
}

function SidePanel({ which, title, query, whole, theme }: { which: Which; title: string; query: Query; whole: Instants; theme: Theme }) {
  const { state, update, now } = usePage();
  const side = state[which];
  const set = (patch: Partial<Side>) => update({ [which]: { ...side, ...patch } });
  const type = parseType(state.type);
  const every = step(whole, 120);
  const answer = useQuery('the time series', state.type ? `side|${state.tenant}|${query.type}|${query.selector}|${whole.start}|${whole.end}|${every}` : null, (signal) =>
    series({ ...query, ...whole }, { step: every, groupBy: [], average: isGauge(type), limit: 1 }, { tenant: state.tenant, signal }),
  );
  const unit = seriesValue(type, 0, every).unit;
  const lines: Line[] = useMemo(
    () => (answer.data ?? []).slice(0, 1).map((each) => ({ label: title, times: each.times, values: each.values.map((value) => seriesValue(type, value, every).value) })),
    [answer.data],
  );
  const color = which === 'left' ? (theme === 'light' ? '#4468b8' : '#82a4f0') : theme === 'light' ? '#a2429a' : '#dd86d5';
  const value = side.from && side.until ? { from: side.from, until: side.until } : { from: String(query.start), until: String(query.end) };
  const span = whole.end - whole.start || 1;
  return (
    <section className={`card side ${which}`} aria-label={title}>
      <div className="card-head">
        <h2>
          <i className={`dot ${which}`} />
          {title}
        </h2>
        <span className="muted">{lines[0] ? `mean ${formatValue(mean(lines[0].values), unit)}` : ''}</span>
        <span className="spacer" />
        <TimePicker value={value} now={now} label={`${title} time`} align={which === 'left' ? 'left' : 'right'} apply={(range) => set(range)} />
      </div>
      <LabelFilter label={`${title} label filter`} value={side.filter} service={state.service} tenant={state.tenant} range={whole} apply={(filter) => set({ filter })} />
      <div className="side-chart" title={describeRange(value, now)}>
        <TimeChart lines={lines} unit={unit} range={whole} step={every} theme={theme} label={`${title} over time`} height={92} color={color} brush={({ start, end }) => set({ from: String(start), until: String(end) })} />
        <div className="side-range">
          <i style={{ left: `${Math.max(0, ((query.start - whole.start) / span) * 100)}%`, right: `${Math.max(0, ((whole.end - query.end) / span) * 100)}%`, background: color }} />
        </div>
      </div>
    </section>
  );
}
