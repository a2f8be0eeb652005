// How values are spread: a heatmap of profiles or spans, and the exemplars in it, each of which opens alone.

import { useEffect, useMemo, useRef, useState } from 'react';
import { heatmap, type Exemplar, type HeatSlot, type Query } from '../data/api';
import { selector } from '../data/selector';
import { usePage } from '../data/state';
import { localTime, resolve, step } from '../data/time';
import { parseType, typeLabel } from '../data/types';
import { useQuery } from '../data/use-query';
import { formatCount, formatValue } from '../data/units';
import { oklch, type Theme } from '../flame/color';
import { Notice } from '../ui/notice';
import { Segmented } from '../ui/segmented';
import { GraphState } from './explore';

const COLUMNS = 72;
const EXEMPLARS = 60;
const LEFT = 78;
const BOTTOM = 22;
const HEIGHT = 264;

interface Cell {
  slot: number;
  row: number;
}

export function Heatmap({ theme }: { theme: Theme }) {
  const { state, update, now } = usePage();
  const range = useMemo(() => resolve(state, now), [state.from, state.until, now]);
  const query: Query = { ...range, type: state.type, selector: selector(state.service, state.filter) };
  const every = step(range, COLUMNS);
  const spans = state.heat === 'spans';
  const answer = useQuery('the heatmap', state.type ? `heat|${state.tenant}|${query.type}|${query.selector}|${query.start}|${query.end}|${every}|${state.heat}` : null, (signal, progress) =>
    heatmap(query, every, spans, { tenant: state.tenant, signal, progress }),
  );
  const [cell, setCell] = useState<Cell | null>(null);
  useEffect(() => setCell(null), [answer.data]);
  const { unit } = parseType(state.type);
  const slots = answer.data ?? [];
  const exemplars = useMemo(() => chosen(slots, cell).slice(0, EXEMPLARS), [answer.data, cell]);
  const open = (each: Exemplar) => update({ view: 'explore', profile: spans ? '' : each.profileId, span: spans ? each.spanId : '', focus: '', group: '' });
  return (
    <>
      <section className={answer.stale ? 'card heat stale' : 'card heat'} aria-label="Heatmap">
        <div className="card-head">
          <h2>{spans ? 'Spans' : 'Profiles'} by {typeLabel(state.type)}</h2>
          <span className="muted">{slots.length ? `${formatCount(slots.reduce((sum, slot) => sum + slot.counts.reduce((a, b) => a + b, 0), 0))} ${state.heat}` : ''}</span>
          <span className="spacer" />
          <Segmented
            label="Dots"
            value={state.heat}
            options={[
              { value: 'profiles', text: 'Profiles' },
              { value: 'spans', text: 'Spans' },
            ]}
            choose={(heat) => update({ heat })}
          />
        </div>
        <GraphState query={answer}>
          {slots.length ? (
            <Grid slots={slots} query={query} every={every} unit={unit} theme={theme} cell={cell} choose={setCell} />
          ) : (
            answer.data && (
              <Notice title={spans ? 'No spans here' : 'No profiles here'}>
                {spans ? 'Profiles carry spans when the SDK is joined with OpenTelemetry (label span_id on samples).' : 'Choose another range, type or labels.'}
              </Notice>
            )
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
                  <th scope="col">{spans ? 'Span' : 'Profile'}</th>
                  <th scope="col">Labels</th>
                </tr>
              </thead>
              <tbody>
                {exemplars.map((each) => (
                  <tr key={`${each.profileId}${each.spanId}${each.time}`} onClick={() => open(each)}>
                    <td>{localTime(each.time)}</td>
                    <td className="number">{formatValue(each.value, unit)}</td>
                    <td>
                      <button type="button" className="link" onClick={() => open(each)}>
                        {(spans ? each.spanId : each.profileId).slice(0, 16)}
                      </button>
                    </td>
                    <td className="labels">
                      {Object.entries(each.labels)
                        .filter(([name]) => !name.startsWith('__') && name !== 'service_name')
                        .map(([name, value]) => (
                          <span key={name}>
                            {name}=<b>{value}</b>
                          </span>
                        ))}
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

/** Exemplars of a cell; without one all, the largest first. */
function chosen(slots: HeatSlot[], cell: Cell | null): Exemplar[] {
  const from = cell ? [slots[cell.slot]].filter(Boolean) : slots;
  const all = from.flatMap((slot) =>
    slot.exemplars.filter((each) => {
      if (!cell) return true;
      const low = slot.yMin[cell.row];
      const high = slot.yMin[cell.row + 1] ?? Number.POSITIVE_INFINITY;
      return each.value >= low && each.value < high;
    }),
  );
  return all.sort((a, b) => b.value - a.value);
}

interface GridProps {
  slots: HeatSlot[];
  query: Query;
  every: number;
  unit: string;
  theme: Theme;
  cell: Cell | null;
  choose: (cell: Cell | null) => void;
}

function Grid({ slots, query, every, unit, theme, cell, choose }: GridProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [over, setOver] = useState<Cell | null>(null);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(host.current?.clientWidth ?? 0));
    if (host.current) observer.observe(host.current);
    return () => observer.disconnect();
  }, []);
  const rows = slots[0]?.yMin.length ?? 0;
  const columns = Math.floor((query.end - query.start) / 1000 / every) + 2;
  const across = (width - LEFT - 8) / columns;
  const up = (HEIGHT - BOTTOM - 6) / Math.max(1, rows);
  const columnOf = (slot: HeatSlot) => Math.round((slot.time - query.start) / 1000 / every);

  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || !width) return;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    const most = Math.max(1, ...slots.flatMap((slot) => slot.counts));
    slots.forEach((slot, index) => {
      const x = LEFT + columnOf(slot) * across;
      slot.counts.forEach((count, row) => {
        if (!count) return;
        const strength = Math.sqrt(count / most);
        context.fillStyle = theme === 'light' ? oklch(0.92 - 0.42 * strength, 0.04 + 0.13 * strength, 45) : oklch(0.3 + 0.46 * strength, 0.03 + 0.12 * strength, 45);
        const y = HEIGHT - BOTTOM - (row + 1) * up;
        context.fillRect(x, y, Math.max(1, across - 1), Math.max(1, up - 1));
        const on = (each: Cell | null) => each?.slot === index && each.row === row;
        if (on(over) || on(cell)) {
          context.strokeStyle = theme === 'light' ? '#1b1c20' : '#f2f2f4';
          context.strokeRect(x + 0.5, y + 0.5, Math.max(1, across - 2), Math.max(1, up - 2));
        }
      });
    });
    context.fillStyle = theme === 'light' ? '#686b76' : '#9a9da8';
    context.font = '11px ui-sans-serif, system-ui, sans-serif';
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (let row = 0; row < rows; row += 4) context.fillText(formatValue(slots[0].yMin[row], unit), LEFT - 8, HEIGHT - BOTTOM - row * up - up / 2);
    context.textAlign = 'center';
    const labels = Math.max(2, Math.floor(width / 140));
    for (let i = 0; i <= labels; i++) {
      const time = query.start + ((query.end - query.start) * i) / labels;
      context.textAlign = i === 0 ? 'left' : i === labels ? 'right' : 'center';
      context.fillText(localTime(time, 1e12), LEFT + ((width - LEFT - 8) * i) / labels, HEIGHT - 8);
    }
  }, [slots, width, theme, over, cell, unit]);

  const at = (event: { clientX: number; clientY: number }): Cell | null => {
    const box = canvas.current!.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - LEFT) / across);
    const row = Math.floor((HEIGHT - BOTTOM - (event.clientY - box.top)) / up);
    const slot = slots.findIndex((each) => columnOf(each) === column);
    return slot >= 0 && slots[slot].counts[row] ? { slot, row } : null;
  };
  const shown = over && slots[over.slot];
  return (
    <div ref={host} className="heat-grid">
      <canvas
        ref={canvas}
        width={Math.round(width * (devicePixelRatio || 1))}
        height={Math.round(HEIGHT * (devicePixelRatio || 1))}
        style={{ width, height: HEIGHT }}
        role="img"
        aria-label={`Heatmap with ${slots.length} columns. The exemplars below list what stands in it.`}
        onPointerMove={(event) => setOver(at(event))}
        onPointerLeave={() => setOver(null)}
        onClick={(event) => choose(at(event))}
      />
      <p className="heat-tip muted" aria-hidden="true">
        {shown && over ? `${localTime(shown.time)} · from ${formatValue(shown.yMin[over.row], unit)} · ${formatCount(shown.counts[over.row])}` : 'Click a cell for its exemplars'}
      </p>
    </div>
  );
}
