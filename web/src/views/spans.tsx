// Spans of traces: how costly they are, the costliest ones, and the flame graph of those that are chosen.

import { useMemo, useState } from 'react';
import { flameGraph, type Exemplar } from '../data/api';
import { fileName } from '../data/share';
import { usePage } from '../data/state';
import { localTime } from '../data/time';
import { parseType, typeLabel } from '../data/types';
import { useQuery } from '../data/use-query';
import { formatCount, formatValue } from '../data/units';
import type { Theme } from '../flame/color';
import { isEmpty } from '../flame/tree';
import { HeatGrid } from '../ui/heat-grid';
import { Notice } from '../ui/notice';
import { Analysis } from './analysis';
import { GraphState, narrowedBy, savePprof, Selection } from './explore';
import { dots, Labels, useHeat } from './heatmap';

const SPANS = 200;
/** So many may be chosen: their ids stand in the address. */
const CHOSEN_MAX = 50;
const HEIGHT = 230;

export function Spans({ theme }: { theme: Theme }) {
  const { state, update, notify } = usePage();
  const { answer, query, every, slots, cell, setCell, exemplars } = useHeat(true);
  const { unit } = parseType(state.type);
  const spans = useMemo(() => distinct(exemplars).slice(0, SPANS), [exemplars]);
  const narrowed = narrowedBy({ ...state, profile: '' });
  const chosen = new Set(narrowed.spans);
  const toggle = (id: string) => {
    const next = chosen.has(id) ? narrowed.spans.filter((each) => each !== id) : [...narrowed.spans, id];
    if (next.length > CHOSEN_MAX) notify(`${CHOSEN_MAX} spans at once`);
    else update({ span: next.join(','), trace: '', profile: '', focus: '' });
  };
  const most = spans[0]?.value ?? 1;
  return (
    <>
      <div className="span-panels">
        <section className={answer.stale ? 'card heat stale' : 'card heat'} aria-label="Heatmap of spans">
          <div className="card-head">
            <h2>Spans by {typeLabel(state.type)}</h2>
            <span className="muted">{slots.length ? `${formatCount(dots(slots))} in profiles` : ''}</span>
          </div>
          <GraphState query={answer}>
            {slots.length ? (
              <HeatGrid slots={slots} range={query} every={every} unit={unit} theme={theme} height={HEIGHT} cell={cell} choose={setCell} />
            ) : (
              answer.data && (
                <Notice title="No spans here">
                  Samples carry spans when the SDK is joined with OpenTelemetry: <code>otelpyroscope</code> for Go, its likes for Java, Python, .NET and Ruby. Samples with the label <code>span_id</code> count too.
                </Notice>
              )
            )}
          </GraphState>
        </section>
        <section className="card span-list" aria-label="Spans">
          <div className="card-head">
            <h2>{cell ? 'Spans of the chosen cell' : 'Costliest spans'}</h2>
            <span className="spacer" />
            {cell && (
              <button type="button" className="button quiet" onClick={() => setCell(null)}>
                Show all
              </button>
            )}
          </div>
          <Ids />
          <div className="scroll" tabIndex={0} role="region" aria-label="Spans, scrolls">
            <table className="exemplars">
              <thead>
                <tr>
                  <th scope="col">
                    <span className="sr-only">Chosen</span>
                  </th>
                  <th scope="col">Span</th>
                  <th scope="col" className="number">Value</th>
                  <th scope="col">Time</th>
                  <th scope="col">Trace</th>
                  <th scope="col">Labels</th>
                </tr>
              </thead>
              <tbody>
                {spans.map((each) => (
                  <tr key={each.spanId} className={chosen.has(each.spanId) ? 'chosen' : undefined} onClick={() => toggle(each.spanId)}>
                    <td>
                      <input type="checkbox" aria-label={`Span ${each.spanId}`} checked={chosen.has(each.spanId)} onChange={() => toggle(each.spanId)} onClick={(event) => event.stopPropagation()} />
                    </td>
                    <td>
                      <code>{each.spanId}</code>
                    </td>
                    <td className="number bar-cell">
                      <span className="share-bar" style={{ transform: `scaleX(${Math.min(1, each.value / most)})` }} aria-hidden="true" />
                      <span className="value">{formatValue(each.value, unit)}</span>
                    </td>
                    <td>{localTime(each.time)}</td>
                    <td>
                      {each.traceId && (
                        <button
                          type="button"
                          className="link"
                          title={`All spans of trace ${each.traceId}`}
                          onClick={(event) => {
                            event.stopPropagation();
                            update({ trace: each.traceId, span: '', profile: '', focus: '' });
                          }}
                        >
                          {each.traceId.slice(0, 8)}…
                        </button>
                      )}
                    </td>
                    <td className="labels">
                      <Labels of={each.labels} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
            {answer.data && spans.length === 0 && <p className="nothing">None</p>}
          </div>
        </section>
      </div>
      <Chosen theme={theme} base={[state.tenant, query.type, query.selector, query.start, query.end].join('|')} query={query} />
    </>
  );
}

/** Ids that come from elsewhere: a trace viewer, a log. */
function Ids() {
  const { update } = usePage();
  const [text, setText] = useState('');
  const { spans, traces } = idsIn(text);
  const problem = text.trim() !== '' && !spans.length && !traces.length;
  return (
    <form
      className="ids"
      onSubmit={(event) => {
        event.preventDefault();
        if (!spans.length && !traces.length) return;
        update({ span: spans.slice(0, CHOSEN_MAX).join(','), trace: spans.length ? '' : traces.slice(0, CHOSEN_MAX).join(','), profile: '', focus: '' });
        setText('');
      }}
    >
      <input className="input" aria-label="Span or trace ids" aria-invalid={problem} placeholder="Span id (16 hex) or trace id (32 hex)" spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} />
      <button type="submit" className="button" disabled={!spans.length && !traces.length}>
        Open
      </button>
    </form>
  );
}

function Chosen({ theme, base, query }: { theme: Theme; base: string; query: Parameters<typeof flameGraph>[0] }) {
  const { state } = usePage();
  const narrowed = narrowedBy({ ...state, profile: '' });
  const any = narrowed.spans.length + narrowed.traces.length > 0;
  const graph = useQuery('the flame graph of spans', any && state.type ? `graph|${base}|${state.nodes}||${state.span}|${narrowed.traces.join(',')}` : null, (signal, progress) =>
    flameGraph(query, { maxNodes: state.nodes, ...narrowed }, { tenant: state.tenant, signal, progress }),
  );
  const name = fileName(state.service, typeLabel(state.type), narrowed.spans.length ? 'spans' : 'trace');
  if (!any) return <p className="card nothing">Choose spans to see what they did.</p>;
  return (
    <>
      <Selection />
      <GraphState query={graph}>
        {graph.data &&
          (isEmpty(graph.data) ? (
            <Notice title="Nothing of these here">No sample of this range, type and these labels has one of the ids.</Notice>
          ) : (
            <Analysis tree={graph.data} unit={parseType(state.type).unit} theme={theme} title={`${state.service} · ${narrowed.spans.length ? 'spans' : 'trace'}`} name={name} stale={graph.stale} pprof={() => savePprof(name, query, narrowed, state.tenant)} />
          ))}
      </GraphState>
    </>
  );
}

/** A span once, by its largest dot; the largest first. */
export function distinct(exemplars: Exemplar[]): Exemplar[] {
  const seen = new Set<string>();
  return exemplars.filter(({ spanId }) => spanId && !seen.has(spanId) && seen.add(spanId));
}

/** Ids of any text: those of 16 hex digits are spans, those of 32 traces. */
export function idsIn(text: string): { spans: string[]; traces: string[] } {
  const words = text.toLowerCase().match(/\b[0-9a-f]+\b/g) ?? [];
  return { spans: [...new Set(words.filter((word) => word.length === 16))], traces: [...new Set(words.filter((word) => word.length === 32))] };
}
