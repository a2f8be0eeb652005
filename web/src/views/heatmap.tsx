// How values are spread: a heatmap of profiles, and the exemplars in it, each of which opens alone.

import { useCallback, useMemo } from 'react';
import { heatmap, type Exemplar, type HeatSlot, type Query } from '../data/api';
import { selector } from '../data/selector';
import { usePage } from '../data/state';
import { localTime, resolve, step } from '../data/time';
import { parseType, typeLabel } from '../data/types';
import { useQuery, type QueryState } from '../data/use-query';
import { formatCount, formatValue } from '../data/units';
import type { Theme } from '../flame/color';
import { exemplarsOf, findCell, HeatGrid, type Cell } from '../ui/heat-grid';
import { Notice } from '../ui/notice';
import { GraphState } from './explore';

const COLUMNS = 72;
const EXEMPLARS = 60;
const HEIGHT = 264;

export interface Heat {
  answer: QueryState<HeatSlot[]>;
  query: Query;
  every: number;
  slots: HeatSlot[];
  cell: Cell | null;
  setCell: (cell: Cell | null) => void;
  /** Those of the cell, or of all; the largest first. */
  exemplars: Exemplar[];
}

/** The heatmap of what is looked at. */
export function useHeat(spans: boolean): Heat {
  const { state, update, now } = usePage();
  const range = useMemo(() => resolve(state, now), [state.from, state.until, now]);
  const query: Query = { ...range, type: state.type, selector: selector(state.service, state.filter) };
  const every = step(range, COLUMNS);
  const answer = useQuery('the heatmap', state.type ? `heat|${state.tenant}|${query.type}|${query.selector}|${query.start}|${query.end}|${every}|${spans}` : null, (signal, progress) =>
    heatmap(query, every, spans, { tenant: state.tenant, signal, progress }),
  );
  const slots = useMemo(() => answer.data ?? [], [answer.data]);
  const cell = useMemo(() => findCell(slots, state.cell), [slots, state.cell]);
  const setCell = useCallback((next: Cell | null) => update({ cell: next ? `${slots[next.slot].time}.${next.row}` : '' }, 'replace'), [slots, update]);
  const exemplars = useMemo(() => exemplarsOf(slots, cell), [slots, cell]);
  return { answer, query, every, slots, cell, setCell, exemplars };
}

export function Heatmap({ theme }: { theme: Theme }) {
  const { state, update } = usePage();
  const { answer, query, every, slots, cell, setCell, exemplars } = useHeat(false);
  const { unit } = parseType(state.type);
  const open = (each: Exemplar) => update({ view: 'explore', profile: each.profileId, span: '', trace: '', focus: '', group: '' });
  return (
    <>
      <section className={answer.stale ? 'card heat stale' : 'card heat'} aria-label="Heatmap">
        <div className="card-head">
          <h2>Profiles by {typeLabel(state.type)}</h2>
          <span className="muted">{slots.length ? `${formatCount(dots(slots))} profiles` : ''}</span>
        </div>
        <GraphState query={answer}>
          {slots.length ? (
            <HeatGrid slots={slots} range={query} every={every} unit={unit} theme={theme} height={HEIGHT} cell={cell} choose={setCell} />
          ) : (
            answer.data && <Notice title="No profiles here">Choose another range, type or labels.</Notice>
          )}
        </GraphState>
      </section>
      {exemplars.length > 0 && (
        <section className="card" aria-label="Exemplars">
          <div className="card-head">
            <h2>Exemplars</h2>
            <span className="muted">{cell ? 'of the chosen cell' : 'the largest'}</span>
            <span className="spacer" />
            {cell && (
              <button type="button" className="button quiet" onClick={() => setCell(null)}>
                Show the largest
              </button>
            )}
          </div>
          <div className="scroll-x" tabIndex={0} role="region" aria-label="Exemplars, scrolls sideways">
            <table className="exemplars">
              <thead>
                <tr>
                  <th scope="col">Time</th>
                  <th scope="col" className="number">Value</th>
                  <th scope="col">Profile</th>
                  <th scope="col">Labels</th>
                </tr>
              </thead>
              <tbody>
                {exemplars.slice(0, EXEMPLARS).map((each) => (
                  <tr key={`${each.profileId}${each.time}`} onClick={() => open(each)}>
                    <td>{localTime(each.time)}</td>
                    <td className="number">{formatValue(each.value, unit)}</td>
                    <td>
                      <button type="button" className="link" onClick={() => open(each)}>
                        {each.profileId.slice(0, 16)}
                      </button>
                    </td>
                    <td className="labels">
                      <Labels of={each.labels} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
    </>
  );
}

/** How many dots a heatmap has. */
export function dots(slots: HeatSlot[]): number {
  return slots.reduce((sum, slot) => sum + slot.counts.reduce((a, b) => a + b, 0), 0);
}

export function Labels({ of }: { of: Record<string, string> }) {
  return (
    <>
      {Object.entries(of)
        .filter(([name]) => !name.startsWith('__') && name !== 'service_name')
        .map(([name, value]) => (
          <span key={name}>
            {name}=<b>{value}</b>
          </span>
        ))}
    </>
  );
}
