// A function, and which services run it: the way from a name in a stack trace or a review to its costs.

import { useDeferredValue, useEffect, useMemo, useRef } from 'react';
import { functionIndex, functionShares, type FunctionPlace, type IndexedFunction } from '../data/api';
import { usePage } from '../data/state';
import { localDate, localTime, type Instants } from '../data/time';
import { preferredType, typeLabel } from '../data/types';
import { OF_SERVICE } from '../data/url';
import { useQuery } from '../data/use-query';
import { formatCount, formatShare } from '../data/units';
import { packageOf } from '../flame/color';
import { shortName } from '../flame/draw';
import { asRegex, quoteRegex } from '../flame/search';
import { Icon } from '../ui/icons';
import { Notice } from '../ui/notice';

const LIMIT = 200;
/** Services beside a function before the rest is a number. */
const SERVICES_SHOWN = 12;
/** Shorter questions match half of all code. */
const LETTERS_MIN = 2;

/** The field, which stands where other views choose a service. */
export function FunctionSearch() {
  const { state, update } = usePage();
  return (
    <div className="search wide-search">
      <Icon name="search" />
      <input
        id="search"
        type="search"
        aria-label="Find a function in all services"
        aria-keyshortcuts="/"
        placeholder="Find a function in all services"
        spellCheck={false}
        autoCapitalize="off"
        autoFocus
        value={state.find}
        onChange={(event) => update({ find: event.target.value, func: '' }, 'replace')}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return;
          event.stopPropagation();
          if (state.find) update({ find: '', func: '' }, 'replace');
          else event.currentTarget.blur();
        }}
      />
      <kbd>/</kbd>
    </div>
  );
}

/** As the index takes it: a text anywhere in the name, `"whole name"` or `/regular expression/`. */
function pattern(text: string): string {
  const asked = asRegex(text);
  return asked === null ? '' : 'regex' in asked ? asked.regex : quoteRegex(asked.function);
}

export function Functions({ range }: { range: Instants }) {
  const { state, update } = usePage();
  const wanted = useDeferredValue(state.find.trim());
  const asks = wanted.length >= LETTERS_MIN;
  const answer = useQuery('functions', asks ? `index|${state.tenant}|${range.start}|${range.end}|${wanted}` : null, (signal, progress) => functionIndex(pattern(wanted), range, LIMIT, { tenant: state.tenant, signal, progress }));
  const open = (service: string, name: string) => update({ ...OF_SERVICE, view: 'explore', service, pane: 'both', func: name, search: `"${name}"` });
  if (!asks)
    return (
      <Notice title="Which services run a function?">
        Type a part of its name: <code>Marshal</code>, <code>regexp.</code> or <code>HashMap.put</code>; <code>"…"</code> is a whole name, <code>/…/</code> a regular expression. A service opens its flame graph with the function found.
      </Notice>
    );
  if (['404', 'not_found', 'unimplemented'].includes(answer.code)) return <Notice title="This server is older than its page">It keeps no index of functions yet. Search within a service’s flame graph instead.</Notice>;
  if (answer.error)
    return (
      <Notice tone="error" title="The functions could not be found" action={{ text: 'Try again', run: answer.retry }}>
        {answer.error}
      </Notice>
    );
  if (!answer.data) return <p className="nothing">{answer.cancelled ? 'Cancelled' : 'Searching…'}</p>;
  if (!answer.data.functions.length) return <Notice title="No function has that in its name">Nothing with “{wanted}” ran in this range. Names are those of the profiles: case does not matter.</Notice>;
  return (
    <section className={answer.stale ? 'card functions stale' : 'card functions'} aria-label="Functions">
      <div className="card-head">
        <h2>Functions</h2>
        <span className="muted" role="status">
          {formatCount(answer.data.functions.length)}
          {answer.data.more && ' and more: type more of the name'}
        </span>
      </div>
      <ul className="function-list" aria-label="Functions found">
        {answer.data.functions.map((each) => (
          <Found key={each.name} of={each} range={range} open={open} />
        ))}
      </ul>
    </section>
  );
}

interface FoundProps {
  of: IndexedFunction;
  range: Instants;
  open: (service: string, name: string) => void;
}

function Found({ of, range, open }: FoundProps) {
  const { state, update } = usePage();
  const { name, services } = of;
  const expanded = state.func === name;
  const row = useRef<HTMLLIElement>(null);
  // A link leads to what it is about.
  useEffect(() => {
    if (expanded) row.current?.scrollIntoView({ block: 'nearest' });
  }, [expanded]);
  const files = [...new Set(services.flatMap((each) => each.files))];
  return (
    <li ref={row}>
      <div className="function-name">
        <p title={name}>
          <b>{shortName(name)}</b> <span className="muted">{packageOf(name)}</span>
          {files[0] && (
            <span className="muted file" title={files.join('\n')}>
              {files[0].split('/').slice(-2).join('/')}
            </span>
          )}
        </p>
        <button type="button" className="button quiet" aria-expanded={expanded} onClick={() => update({ func: expanded ? '' : name }, 'replace')}>
          <span>Shares</span> <Icon name="chevron" />
        </button>
      </div>
      {expanded ? (
        <Shares of={of} range={range} open={open} />
      ) : (
        <p className="function-services">
          {services.slice(0, SERVICES_SHOWN).map((each) => (
            <button type="button" key={each.service} className="chip" title={`${each.types.map(typeLabel).join(', ')}; last seen ${when(each.last)}`} onClick={() => open(each.service, name)}>
              {each.service}
            </button>
          ))}
          {services.length > SERVICES_SHOWN && <span className="muted">and {formatCount(services.length - SERVICES_SHOWN)} more services</span>}
        </p>
      )}
    </li>
  );
}

const when = (time: number) => `${localDate(time)} ${localTime(time)}`;

/** Which part of each service's cost the function is, the largest first. */
function Shares({ of, range, open }: FoundProps) {
  const { state } = usePage();
  const types = useMemo(() => [...new Set(of.services.flatMap((each) => each.types))], [of]);
  const type = types.includes(state.type) ? state.type : preferredType(types);
  const answer = useQuery('shares of a function', type ? `shares|${state.tenant}|${range.start}|${range.end}|${of.name}|${type}` : null, (signal) => functionShares(of.name, type, range, { tenant: state.tenant, signal }));
  const rows = useMemo(() => bySize(answer.data ?? of.services), [answer.data, of]);
  const most = Math.max(1e-9, ...rows.map((each) => each.total ?? 0));
  return (
    <>
      {answer.error && (
        <p className="problem" role="alert">
          {answer.error}
        </p>
      )}
      <div className="scroll-x" tabIndex={0} role="region" aria-label={`Services of ${of.name}, scrolls sideways`}>
        <table className="exemplars">
          <thead>
            <tr>
              <th scope="col">Service</th>
              <th scope="col" className="number">Self</th>
              <th scope="col" className="number">Total of {typeLabel(type)}</th>
              <th scope="col">Last seen</th>
              <th scope="col">Types</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((each) => (
              <tr key={each.service} onClick={() => open(each.service, of.name)}>
                <td>
                  <button type="button" className="link plain" onClick={() => open(each.service, of.name)}>
                    {each.service}
                  </button>
                </td>
                <td className="number">{share(each.self)}</td>
                <td className="number bar-cell">
                  <span className="share-bar" style={{ transform: `scaleX(${(each.total ?? 0) / most})` }} aria-hidden="true" />
                  <span className="value">{share(each.total)}</span>
                </td>
                <td>{when(each.last)}</td>
                <td className="labels muted">{each.types.map(typeLabel).join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const share = (value: number | null) => (value === null ? '' : formatShare(value, 1));

/** The service that spends most in it first, then by name. */
export function bySize(places: FunctionPlace[]): FunctionPlace[] {
  return [...places].sort((a, b) => (b.total ?? -1) - (a.total ?? -1) || (a.service < b.service ? -1 : 1));
}
