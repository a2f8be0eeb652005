// The state of the page lives in the address. A change is an entry of the history, except where it only refines (typing).

import { createContext, useCallback, useContext, useEffect, useState } from 'react';
import { format, parse, type State } from './url';

export type Update = (patch: Partial<State>, how?: 'push' | 'replace') => void;

export interface Page {
  state: State;
  update: Update;
  /** What `now` means; moves on refresh. */
  now: number;
  refresh: () => void;
  notify: (message: string) => void;
}

/**
 * What goes when something else changes: what was zoomed to by hand is a part of what is focused, a sandwich's blocks are of its function, the
 * types of a comparison's sides have the unit of the main one.
 */
export function impliedBy(patch: Partial<State>, before: State): Partial<State> {
  const otherType = patch.type !== undefined && before.type !== '' && patch.type !== before.type;
  return {
    ...('focus' in patch ? { part: '' } : {}),
    ...('func' in patch ? { above: '', below: '' } : {}),
    ...('view' in patch || 'type' in patch || 'filter' in patch ? { cell: '' } : {}),
    ...(otherType ? { left: { ...before.left, type: '' }, right: { ...before.right, type: '' } } : {}),
  };
}

export function useUrlState(): [State, Update] {
  const [state, setState] = useState(() => parse(location.search));
  useEffect(() => {
    const back = () => setState(parse(location.search));
    addEventListener('popstate', back);
    return () => removeEventListener('popstate', back);
  }, []);
  const update = useCallback<Update>((patch, how = 'push') => {
    setState(() => {
      // The address is the truth: two changes in one event both count.
      const before = parse(location.search);
      const next = { ...before, ...impliedBy(patch, before), ...patch };
      const link = `${location.pathname}${format(next)}`;
      if (link !== location.pathname + location.search) history[how === 'push' ? 'pushState' : 'replaceState'](null, '', link);
      return next;
    });
  }, []);
  return [state, update];
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (!page) throw new Error('no page around this component');
  return page;
}
