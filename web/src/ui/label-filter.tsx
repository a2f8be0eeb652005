// The label filter: a text such as `version="2.4.0", region=~"eu.*"`, with completion of names, operators and values.

import { useEffect, useId, useMemo, useRef, useState } from 'react';
import { labelNames, labelValues } from '../data/api';
import { filterNames } from '../data/filter';
import { formatMatcher, parseMatchers, quote, selector, wantedAt, type Wanted } from '../data/selector';
import type { Instants } from '../data/time';
import { useQuery } from '../data/use-query';
import { ListBox } from './virtual-list';

interface Props {
  value: string;
  service: string;
  tenant: string;
  range: Instants;
  id?: string;
  label?: string;
  apply: (filter: string) => void;
}

const OPERATORS = ['=', '!=', '=~', '!~'];

export function LabelFilter({ value, service, tenant, range, id, label = 'Label filter', apply }: Props) {
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState(0);
  const [focused, setFocused] = useState(false);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  useEffect(() => setText(value), [value]);

  const wanted = useMemo(() => wantedAt(text, cursor), [text, cursor]);
  const options = useOptions(focused ? wanted : null, service, tenant, range);
  const prefix = wanted.kind === 'op' ? '' : wanted.prefix;
  const found = useMemo(() => filterNames(options, prefix).slice(0, 2000), [options, prefix]);
  const parsed = useMemo(() => parseMatchers(text), [text]);
  const error = 'error' in parsed && !focused ? parsed.error : null;

  const commit = (next: string) => {
    const result = parseMatchers(next);
    if ('error' in result) return;
    const clean = result.matchers.map(formatMatcher).join(', ');
    setText(clean);
    if (clean !== value) apply(clean);
  };
  const take = (index: number) => {
    const chosen = found[index];
    if (chosen === undefined) return;
    const put = wanted.kind === 'name' ? (/^[a-zA-Z_]\w*$/.test(chosen) ? chosen : quote(chosen)) + '=' : wanted.kind === 'op' ? chosen : quote(chosen);
    const next = text.slice(0, wanted.from) + put + text.slice(wanted.to);
    const at = wanted.from + put.length;
    setText(next);
    setCursor(at);
    setActive(-1);
    requestAnimationFrame(() => input.current?.setSelectionRange(at, at));
    if (wanted.kind === 'value') {
      setOpen(false);
      commit(next);
    }
  };
  const shown = open && focused && found.length > 0;
  return (
    <div className={`filter ${error ? 'wrong' : ''}`}>
      <input
        ref={input}
        id={id}
        role="combobox"
        aria-label={label}
        aria-expanded={shown}
        aria-controls={shown ? list : undefined}
        aria-autocomplete="list"
        aria-activedescendant={shown && active >= 0 ? `${list}-${active}` : undefined}
        aria-invalid={error !== null}
        aria-description={error ?? undefined}
        title={error ?? undefined}
        placeholder={'Filter, e.g. version="2.4.0"'}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        value={text}
        onFocus={() => {
          setFocused(true);
          setOpen(true);
        }}
        onBlur={() => {
          setFocused(false);
          setOpen(false);
          commit(text);
        }}
        onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
        onChange={(event) => {
          setText(event.target.value);
          setCursor(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setActive(-1);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
            event.preventDefault();
            setOpen(true);
            setActive(Math.max(-1, Math.min(found.length - 1, active + (event.key === 'ArrowDown' ? 1 : -1))));
          } else if ((event.key === 'Enter' || event.key === 'Tab') && shown && active >= 0) {
            event.preventDefault();
            take(active);
          } else if (event.key === 'Enter') {
            setOpen(false);
            commit(text);
          } else if (event.key === 'Escape' && open) {
            event.stopPropagation();
            setOpen(false);
          }
        }}
      />
      {text && (
        <button type="button" className="clear" aria-label="Clear the filter" onClick={() => { setText(''); apply(''); }}>
          ×
        </button>
      )}
      {shown && (
        <div className="panel left">
          <p className="panel-title">{wanted.kind === 'name' ? 'Labels' : wanted.kind === 'op' ? 'Operators' : `Values of ${wanted.name}`}</p>
          <ListBox id={list} label="Suggestions" count={found.length} rowHeight={28} active={active} choose={take} isSelected={(index) => index === active} row={(index) => <span className="option-text">{found[index]}</span>} />
        </div>
      )}
    </div>
  );
}

const NONE: string[] = [];

/** What the server knows for the place of the cursor; a name's values are those of the service alone. */
function useOptions(wanted: Wanted | null, service: string, tenant: string, range: Instants): string[] {
  const matchers = service ? [selector(service, '')] : [];
  // To the minute, so that typing does not ask again and again.
  const span = `${Math.floor(range.start / 6e4)}-${Math.floor(range.end / 6e4)}`;
  const names = useQuery('labels', wanted?.kind === 'name' ? `names|${tenant}|${service}|${span}` : null, (signal) => labelNames(matchers, range, { tenant, signal }));
  const name = wanted?.kind === 'value' ? wanted.name : '';
  const values = useQuery('label values', name ? `values|${tenant}|${service}|${name}|${span}` : null, (signal) => labelValues(name, matchers, range, { tenant, signal }));
  if (!wanted) return NONE;
  if (wanted.kind === 'op') return OPERATORS;
  return (wanted.kind === 'name' ? names.data?.filter((each) => each !== 'service_name') : values.data) ?? NONE;
}
