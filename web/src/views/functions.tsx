// A function, and which services run it: the way from a name in a stack trace or a review to its costs.

import { useDeferredValue } from 'react';
import { functionIndex, type IndexedFunction } from '../data/api';
import { usePage } from '../data/state';
import type { Instants } from '../data/time';
import { OF_SERVICE } from '../data/url';
import { useQuery } from '../data/use-query';
import { formatCount } from '../data/units';
import { packageOf } from '../flame/color';
import { shortName } from '../flame/draw';
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
        onChange={(event) => update({ find: event.target.value }, 'replace')}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return;
          event.stopPropagation();
          if (state.find) update({ find: '' }, 'replace');
          else event.currentTarget.blur();
        }}
      />
      <kbd>/</kbd>
    </div>
  );
}

export function Functions({ range }: { range: Instants }) {
  const { state, update } = usePage();
  const wanted = useDeferredValue(state.find.trim());
  const asks = wanted.length >= LETTERS_MIN;
  const answer = useQuery('functions', asks ? `index|${state.tenant}|${range.start}|${range.end}|${wanted}` : null, (signal, progress) => functionIndex(wanted, range, LIMIT, { tenant: state.tenant, signal, progress }));
  const open = (service: string, name: string) => update({ ...OF_SERVICE, view: 'explore', service, pane: 'both', func: name, search: `"${name}"` });
  return <Results answer={answer} asks={asks} wanted={wanted} open={open} />;
}

interface ResultsProps {
  answer: ReturnType<typeof useQuery<{ functions: IndexedFunction[]; more: boolean }>>;
  asks: boolean;
  wanted: string;
  open: (service: string, name: string) => void;
}

function Results({ answer, asks, wanted, open }: ResultsProps) {
  if (!asks)
    return (
      <Notice title="Which services run a function?">
        Type a part of its name: <code>Marshal</code>, <code>regexp.</code> or <code>HashMap.put</code>. A service opens its flame graph with the function found.
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
          <li key={each.name}>
            <p className="function-name" title={each.name}>
              <b>{shortName(each.name)}</b> <span className="muted">{packageOf(each.name)}</span>
            </p>
            <p className="function-services">
              {each.services.slice(0, SERVICES_SHOWN).map((service) => (
                <button type="button" key={service} className="chip" title={`${each.name} in ${service}`} onClick={() => open(service, each.name)}>
                  {service}
                </button>
              ))}
              {each.services.length > SERVICES_SHOWN && <span className="muted">and {formatCount(each.services.length - SERVICES_SHOWN)} more services</span>}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
