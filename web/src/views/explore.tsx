// One service, one type: its series, its flame graph and table.

import { useMemo, useState } from 'react';
import { flameGraph, labelNames, pprof, series, type Query, type Stacks } from '../data/api';
import { selector, withMatcher } from '../data/selector';
import { copy, fileName, save, zip } from '../data/share';
import { usePage } from '../data/state';
import { describeRange, resolve, step } from '../data/time';
import { isGauge, parseType, seriesValue, seriesValues, typeLabel } from '../data/types';
import { useQuery, type QueryState } from '../data/use-query';
import { formatValue } from '../data/units';
import type { State } from '../data/url';
import type { Theme } from '../flame/color';
import { isEmpty } from '../flame/tree';
import { Icon } from '../ui/icons';
import { Notice } from '../ui/notice';
import { Picker } from '../ui/picker';
import { lineColor, TimeChart, type Line } from '../ui/time-chart';
import { Analysis } from './analysis';
import { Trend } from './trend';

const POINTS = 240;
/** Series of a grouping. */
const LINES_MAX = 20;

export function Explore({ theme }: { theme: Theme }) {
  const { state, update, now } = usePage();
  const range = useMemo(() => resolve(state, now), [state.from, state.until, now]);
  const query: Query = { ...range, type: state.type, selector: selector(state.service, state.filter) };
  const base = [state.tenant, query.type, query.selector, query.start, query.end].join('|');
  const narrowed = narrowedBy(state);
  const isNarrowed = Object.values(narrowed).some((ids) => ids.length > 0);
  const ready = state.type !== '';
  const graph = useQuery('the flame graph', ready ? `graph|${base}|${state.nodes}|${state.profile}|${state.span}|${state.trace}` : null, (signal, progress) =>
    flameGraph(query, { maxNodes: state.nodes, ...narrowed }, { tenant: state.tenant, signal, progress }),
  );
  const title = `${state.service || 'All services'} · ${typeLabel(state.type)} · ${describeRange(state, now)}`;
  const name = fileName(state.service, typeLabel(state.type));
  return (
    <>
      <SeriesCard theme={theme} query={query} base={ready ? base : null} />
      <Selection />
      <GraphState query={graph}>
        {graph.data && (
          <Analysis
            tree={graph.data}
            unit={parseType(state.type).unit}
            theme={theme}
            title={title}
            name={name}
            stale={graph.stale}
            pprof={() => savePprof(name, query, narrowed, state.tenant)}
            onCallSite={(path) => update({ group: `stack:${JSON.stringify(path)}` })}
            trend={isNarrowed ? undefined : (open) => <Trend theme={theme} query={query} base={base} open={open} />}
          />
        )}
      </GraphState>
      {graph.data && !graph.loading && isEmpty(graph.data) && (
        <Notice title="No profiles here" action={state.filter || state.profile || state.span || state.trace ? { text: 'Clear filters', run: () => update({ filter: '', profile: '', span: '', trace: '' }) } : { text: 'Last 24 hours', run: () => update({ from: 'now-24h', until: 'now' }) }}>
          {state.service || 'No service'} has no {typeLabel(state.type)} profiles in this range{state.filter ? ' with these labels' : ''}.
        </Notice>
      )}
    </>
  );

}

const list = (text: string) => text.split(',').filter(Boolean);

/** The profiles, spans and traces of the address. */
export function narrowedBy(state: State): Required<Omit<Stacks, 'maxNodes'>> {
  // The server takes spans or traces, not both.
  return { profileIds: list(state.profile), spans: list(state.span), traces: state.span ? [] : list(state.trace) };
}

/** The pprof of what is shown, as a file. */
export async function savePprof(name: string, query: Query, narrowed: Omit<Stacks, 'maxNodes'>, tenant: string): Promise<void> {
  const bytes = await pprof(query, narrowed, { tenant });
  save(`${name}.pb.gz`, await zip(bytes), 'application/gzip');
}

/** What the graph is narrowed to besides labels. */
export function Selection() {
  const { state, update, notify } = usePage();
  const { profileIds, spans, traces } = narrowedBy(state);
  const ids = [...profileIds, ...spans, ...traces];
  if (!ids.length) return null;
  const what = profileIds.length ? ['Single profile', 'profiles'] : spans.length ? ['Span', 'spans'] : ['Trace', 'traces'];
  return (
    <p className="selection" role="status">
      <span>
        {ids.length === 1 ? what[0] : `${ids.length} ${what[1]}`} <code>{ids.slice(0, 3).join(', ')}{ids.length > 3 && ' …'}</code>
      </span>
      <button type="button" className="button quiet" onClick={() => update({ profile: '', span: '', trace: '', focus: '' })}>
        <Icon name="close" /> <span>Show all</span>
      </button>
      <button type="button" className="button quiet" onClick={() => { void copy(ids.join(',')).then(() => notify('Copied')); }}>
        <Icon name="copy" /> <span>Copy id</span>
      </button>
    </p>
  );
}

/** What a graph's query says when it has no graph. */
export function GraphState<T>({ query, children }: { query: QueryState<T>; children: React.ReactNode }) {
  if (query.error) return <Notice tone="error" title="The query failed" action={{ text: 'Try again', run: query.retry }}>{query.error}</Notice>;
  if (query.cancelled) return <Notice title="Cancelled" action={{ text: 'Run again', run: query.retry }}>The query was stopped before it was answered.</Notice>;
  if (query.loading && !query.data) return <div className="skeleton" aria-hidden="true">{[96, 88, 71, 54, 32].map((width) => <i key={width} style={{ width: `${width}%` }} />)}</div>;
  return <>{children}</>;
}

function callSiteOf(group: string): string[] {
  if (!group.startsWith('stack:')) return [];
  try {
    const path: unknown = JSON.parse(group.slice(6));
    return Array.isArray(path) ? path.map(String) : [];
  } catch {
    return [];
  }
}

function SeriesCard({ theme, query, base }: { theme: Theme; query: Query; base: string | null }) {
  const { state, update } = usePage();
  const type = parseType(state.type);
  const callSite = callSiteOf(state.group);
  const groupBy = state.group && !callSite.length ? [state.group] : [];
  const every = step(query, POINTS);
  const [over, setOver] = useState(-1);
  const lit = useMemo(() => (over < 0 ? null : new Set([over])), [over]);
  const answer = useQuery('the time series', base && `series|${base}|${every}|${state.group}`, (signal, progress) =>
    series(query, { step: every, groupBy, average: isGauge(type), limit: LINES_MAX, callSite }, { tenant: state.tenant, signal, progress }),
  );
  const names = useQuery('labels', state.service ? `groups|${state.tenant}|${state.service}|${Math.floor(query.start / 6e4)}|${Math.floor(query.end / 6e4)}` : null, (signal) =>
    labelNames([selector(state.service, '')], query, { tenant: state.tenant, signal }),
  );
  const unit = seriesValue(type, 0, every).unit;
  const lines: Line[] = useMemo(
    () =>
      (answer.data ?? []).map((each) => ({
        label: groupBy.length ? each.labels[groupBy[0]] || '(none)' : callSite.length ? callSite[callSite.length - 1] : typeLabel(state.type),
        times: each.times,
        values: seriesValues(type, each.times, each.values, every),
      })),
    [answer.data],
  );
  const brush = ({ start, end }: { start: number; end: number }) => update({ from: String(Math.round(start)), until: String(Math.round(end)) });
  const options = ['', ...(names.data ?? []).filter((name) => name !== 'service_name')];
  return (
    <section className={answer.stale ? 'card series stale' : 'card series'} aria-label="Time series">
      <div className="card-head">
        <h2>{typeLabel(state.type) || 'Series'}</h2>
        <span className="muted">{unit}{lines.length >= LINES_MAX ? ` · top ${LINES_MAX}` : ''}</span>
        <span className="spacer" />
        {callSite.length > 0 ? (
          <button type="button" className="button quiet" title={callSite.join(' › ')} onClick={() => update({ group: '' })}>
            <span>Stack: {callSite[callSite.length - 1]}</span> <Icon name="close" />
          </button>
        ) : (
          <Picker label="Group by" className="quiet" placeholder="none" value={state.group} options={options} text={(option) => option || 'none'} choose={(group) => update({ group })} />
        )}
      </div>
      {answer.error ? (
        <Notice tone="error" title="The series could not be read" action={{ text: 'Try again', run: answer.retry }}>{answer.error}</Notice>
      ) : (
        <TimeChart lines={lines} unit={unit} range={query} step={every} theme={theme} label={`${typeLabel(state.type)} over time`} height={124} brush={brush} lit={lit} />
      )}
      {groupBy.length > 0 && (
        <ul className="legend" aria-label={`Series by ${groupBy[0]}`}>
          {lines.slice(0, LINES_MAX).map((line, i) => (
            <li key={line.label}>
              <button
                type="button"
                title="Show only this"
                onPointerEnter={() => setOver(i)}
                onPointerLeave={() => setOver(-1)}
                onFocus={() => setOver(i)}
                onBlur={() => setOver(-1)}
                onClick={() => update({ filter: withMatcher(state.filter, { name: groupBy[0], op: '=', value: line.label === '(none)' ? '' : line.label }) })}
              >
                <i style={{ background: lineColor(i, lines.length, theme) }} />
                {line.label}
                <span className="muted">{formatValue(mean(line.values), unit)}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function mean(values: number[]): number {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}
