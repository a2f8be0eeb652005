// Two ranges, two sets of labels, or two services: side by side, or as a diff.

import { useEffect, useMemo } from 'react';
import { diff, flameGraph, profileTypes, series, type Query } from '../data/api';
import { selector } from '../data/selector';
import { fileName } from '../data/share';
import { usePage } from '../data/state';
import { describeRange, earlier, resolve, step, type Instants, type Range } from '../data/time';
import { closestType, isGauge, parseType, seriesValue, seriesValues, typeLabel } from '../data/types';
import { useQuery } from '../data/use-query';
import { formatChange, formatValue } from '../data/units';
import type { Side, State } from '../data/url';
import type { Theme } from '../flame/color';
import { isEmpty } from '../flame/tree';
import { Icon } from '../ui/icons';
import { LabelFilter } from '../ui/label-filter';
import { Notice } from '../ui/notice';
import { Picker } from '../ui/picker';
import { Segmented } from '../ui/segmented';
import { TimeChart, type Line } from '../ui/time-chart';
import { TimePicker } from '../ui/time-picker';
import { Analysis, DiffLegend } from './analysis';
import { Changes } from './changes';
import { GraphState, mean, savePprof } from './explore';

type Which = 'left' | 'right';

/** What a side asks, with its service. */
interface SideQuery extends Query {
  service: string;
}

/** Whether the sides differ by more than time. */
const differ = ({ left, right }: Pick<State, Which>) => [left, right].some((side) => side.filter || side.service || side.type);

/** The range of a side: what it does not say itself is the first half, or the second, of the whole one; all of it if the sides differ otherwise. */
export function sideRange(state: Pick<State, Which>, which: Which, whole: Instants, now: number): Instants {
  const side = state[which];
  if (side.from && side.until) return resolve(side, now);
  if (differ(state)) return whole;
  const middle = Math.floor((whole.start + whole.end) / 2);
  return which === 'left' ? { start: whole.start, end: middle } : { start: middle + 1, end: whole.end };
}

function sideQuery(state: State, which: Which, whole: Instants, now: number): SideQuery {
  const side = state[which];
  const service = side.service || state.service;
  return { ...sideRange(state, which, whole, now), service, type: side.type || state.type, selector: selector(service, [state.filter, side.filter].filter(Boolean).join(', ')) };
}

/** The sides the other way round. Where they are the halves of the range, each keeps its half by name. */
export function swapped(state: Pick<State, Which>, whole: Instants, now: number): Pick<State, Which> {
  const { left, right } = state;
  if (differ(state)) return { left: right, right: left };
  const fixed = (which: Which): Side => {
    const { start, end } = sideRange(state, which, whole, now);
    return state[which].from ? state[which] : { ...state[which], from: String(start), until: String(end) };
  };
  return { left: fixed('right'), right: fixed('left') };
}

/** What the whole range may be compared with. */
const BEFORE = [
  { value: 'before', text: 'With the time before', by: '' },
  { value: 'day', text: 'With a day before', by: '1d' },
  { value: 'week', text: 'With a week before', by: '1w' },
];

/** Which of these the ranges of the sides are: '' if they have none of their own, `own` for others. */
export function rangesOf({ left, right, ...whole }: Pick<State, Which | 'from' | 'until'>, now: number): string {
  if (!left.from && !right.from) return '';
  const is = (side: Range, wanted: Range) => side.from === wanted.from && side.until === wanted.until;
  return (is(right, whole) && BEFORE.find(({ by }) => is(left, earlier(whole, by, now)))?.value) || 'own';
}

/** The sides with such ranges. */
export function withRanges({ left, right, from, until }: Pick<State, Which | 'from' | 'until'>, value: string, now: number): Pick<State, Which> {
  const before = BEFORE.find((each) => each.value === value);
  if (!before) return { left: { ...left, from: '', until: '' }, right: { ...right, from: '', until: '' } };
  return { left: { ...left, ...earlier({ from, until }, before.by, now) }, right: { ...right, from, until } };
}

interface Props {
  theme: Theme;
  /** All services, and the types of the common one. */
  services: readonly string[];
  types: readonly string[];
}

export function Compare({ theme, services, types }: Props) {
  const { state, update, now } = usePage();
  const whole = useMemo(() => resolve(state, now), [state.from, state.until, now]);
  const left = sideQuery(state, 'left', whole, now);
  const right = sideQuery(state, 'right', whole, now);
  const asked = (each: Query) => [state.tenant, each.type, each.selector, each.start, each.end].join('|');
  const key = (each: Query) => `${asked(each)}|${state.nodes}`;
  const units = [left, right].map(({ type }) => parseType(type).unit);
  const known = left.type !== '' && right.type !== '';
  const alike = !known || units[0] === units[1];
  const ready = known && alike;
  const both = useQuery('the comparison', ready && state.side === 'diff' ? `diff|${key(left)}|${key(right)}` : null, (signal, progress) => diff(left, right, state.nodes, { tenant: state.tenant, signal, progress }));
  const [unit] = units;
  const sides = both.data?.sides;
  const title = titleOf(left, right);
  const of = { whole, theme, services, types };
  return (
    <>
      <div className="sides">
        <SidePanel which="left" title="Baseline" query={left} other={right} {...of} />
        <SidePanel which="right" title="Comparison" query={right} other={left} {...of} />
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
        <button type="button" className="button quiet" title="Baseline and comparison the other way round" onClick={() => update({ ...swapped(state, whole, now), focus: '' })}>
          <Icon name="swap" /> <span>Swap</span>
        </button>
        <Ranges />
        {state.side === 'diff' && sides && (
          <p className="compare-sum">
            {formatValue(sides.leftTicks, unit)} → {formatValue(sides.rightTicks, unit)}
            {sides.leftTicks > 0 && <span className="muted"> {formatChange((sides.rightTicks / sides.leftTicks - 1) * 100)} %</span>}
          </p>
        )}
        <span className="spacer" />
        {state.side === 'diff' && <DiffLegend />}
      </div>
      {state.side === 'both' ? (
        <div className="twins">
          <Twin query={left} name={key(left)} title="Baseline" theme={theme} />
          <Twin query={right} name={key(right)} title="Comparison" theme={theme} />
        </div>
      ) : alike ? (
        <GraphState query={both}>
          {both.data &&
            (isEmpty(both.data) ? (
              <Notice title="Nothing to compare">Neither side has profiles. Choose other ranges or labels above.</Notice>
            ) : sides?.leftTicks === 0 || sides?.rightTicks === 0 ? (
              <Notice title={`The ${sides.leftTicks === 0 ? 'baseline' : 'comparison'} has no profiles`} action={{ text: 'Side by side', run: () => update({ side: 'both' }) }}>
                Choose another range, labels or type for it, or look at the other side alone.
              </Notice>
            ) : (
              <Analysis
                tree={both.data}
                unit={unit}
                theme={theme}
                title={title}
                name={fileName(title)}
                stale={both.stale}
                changes={(open) => <Changes left={left} right={right} base={`${asked(left)}|${asked(right)}`} open={open} />}
              />
            ))}
        </GraphState>
      ) : (
        <Notice title="These have no common unit" action={{ text: 'Side by side', run: () => update({ side: 'both' }) }}>
          {typeLabel(left.type)} is measured in {units[0]}, {typeLabel(right.type)} in {units[1]}. Choose types of one unit for a diff.
        </Notice>
      )}
    </>
  );
}

/** What is compared in time. */
function Ranges() {
  const { state, update, now } = usePage();
  const value = rangesOf(state, now);
  return (
    <select className="input small" aria-label="Ranges" value={value} onChange={(event) => update({ ...withRanges(state, event.target.value, now), focus: '' })}>
      <option value="">{differ(state) ? 'At the same time' : 'Halves of the range'}</option>
      {BEFORE.map((each) => (
        <option key={each.value} value={each.value}>
          {each.text}
        </option>
      ))}
      {value === 'own' && <option value="own">Ranges of their own</option>}
    </select>
  );
}

/** `shop · CPU · diff`, `shop · CPU → cart · CPU`. */
export function titleOf(left: Pick<SideQuery, 'service' | 'type'>, right: Pick<SideQuery, 'service' | 'type'>): string {
  const name = ({ service, type }: Pick<SideQuery, 'service' | 'type'>) => `${service} · ${typeLabel(type)}`;
  return left.service === right.service && left.type === right.type ? `${name(left)} · diff` : `${name(left)} → ${name(right)}`;
}

function Twin({ query, name, title, theme }: { query: SideQuery; name: string; title: string; theme: Theme }) {
  const { state } = usePage();
  const graph = useQuery(`the flame graph (${title.toLowerCase()})`, query.type ? `graph|${name}` : null, (signal, progress) =>
    flameGraph(query, { maxNodes: state.nodes }, { tenant: state.tenant, signal, progress }),
  );
  const file = fileName(query.service, typeLabel(query.type), title);
  return (
    <div className="twin">
      <h2>{title}</h2>
      <GraphState query={graph}>
        {graph.data &&
          (isEmpty(graph.data) ? (
            <Notice title="No profiles">This side has none in its range.</Notice>
          ) : (
            <Analysis tree={graph.data} unit={parseType(query.type).unit} theme={theme} title={`${query.service} · ${title}`} name={file} stale={graph.stale} second={title === 'Comparison'} pprof={() => savePprof(file, query, {}, state.tenant)} />
          ))}
      </GraphState>
    </div>
  );
}

interface PanelProps extends Props {
  which: Which;
  title: string;
  query: SideQuery;
  /** What the other side asks. */
  other: SideQuery;
  whole: Instants;
}

function SidePanel({ which, title, query, other, whole, theme, services, types }: PanelProps) {
  const { state, update, now } = usePage();
  const side = state[which];
  const set = (patch: Partial<Side>, how?: 'replace') => update({ [which]: { ...side, ...patch }, focus: '' }, how);
  const type = parseType(query.type);
  // Of a side that lies elsewhere in time, its own range.
  const charted = query.start >= whole.start && query.end <= whole.end ? whole : { start: query.start, end: query.end };
  const every = step(charted, 120);
  const answer = useQuery('the time series', query.type ? `side|${state.tenant}|${query.type}|${query.selector}|${charted.start}|${charted.end}|${every}` : null, (signal) =>
    series({ ...query, ...charted }, { step: every, groupBy: [], average: isGauge(type), limit: 1 }, { tenant: state.tenant, signal }),
  );
  const unit = seriesValue(type, 0, every).unit;
  const lines: Line[] = useMemo(
    () => (answer.data ?? []).slice(0, 1).map((each) => ({ label: title, times: each.times, values: seriesValues(type, each.times, each.values, every) })),
    [answer.data],
  );
  const color = which === 'left' ? (theme === 'light' ? '#4468b8' : '#82a4f0') : theme === 'light' ? '#a2429a' : '#dd86d5';
  const isWhole = query.start === whole.start && query.end === whole.end;
  const value = side.from && side.until ? { from: side.from, until: side.until } : isWhole ? { from: state.from, until: state.until } : { from: String(query.start), until: String(query.end) };
  const span = charted.end - charted.start || 1;
  const known = useTypes(query.service, types, whole);
  // What the common type is called in a service of another profiler.
  const closest = known && !side.type ? closestType(known, state.type) : '';
  useEffect(() => {
    if (closest && closest !== state.type) set({ type: closest }, 'replace');
  }, [closest, state.type]);
  const choices = (known ?? []).filter((id) => parseType(id).unit === parseType(other.type).unit);
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
      <div className="side-what">
        <Picker label="Service" className="quiet" placeholder="choose" value={query.service} options={services} choose={(service) => set({ service: service === state.service ? '' : service, type: '', filter: '' })} />
        <Picker label="Type" className="quiet" placeholder="choose" value={query.type} options={choices} text={typeLabel} choose={(id) => set({ type: id === state.type ? '' : id })} />
        <LabelFilter label={`${title} label filter`} value={side.filter} service={query.service} tenant={state.tenant} range={whole} apply={(filter) => set({ filter })} />
      </div>
      {known && !known.includes(query.type) && query.type && (
        <p className="hint" role="status">
          {query.service} has no {typeLabel(query.type)} profiles here. {choices.length ? 'Choose another type of this unit.' : 'Nor has it others of this unit.'}
        </p>
      )}
      <div className="side-chart" title={describeRange(value, now)}>
        <TimeChart lines={lines} unit={unit} range={charted} step={every} theme={theme} label={`${title} over time`} height={92} color={color} brush={({ start, end }) => set({ from: String(start), until: String(end) })} />
        <div className="side-range">
          <i style={{ left: `${Math.max(0, ((query.start - charted.start) / span) * 100)}%`, right: `${Math.max(0, ((charted.end - query.end) / span) * 100)}%`, background: color }} />
        </div>
      </div>
    </section>
  );
}

/** The types of a service, null until they are known; `common` are those of the page's own. */
function useTypes(service: string, common: readonly string[], range: Instants): readonly string[] | null {
  const { state } = usePage();
  const isOther = service !== '' && service !== state.service;
  const answer = useQuery('profile types', isOther ? `types|${state.tenant}|${range.start}|${range.end}|${service}` : null, (signal) => profileTypes(selector(service, ''), range, { tenant: state.tenant, signal }));
  if (!isOther) return common.length ? common : null;
  return answer.stale ? null : (answer.data ?? null);
}
