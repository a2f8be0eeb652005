// One query of a component: started when its key changes, aborted when it changes again, answers kept for going back.

import { useCallback, useEffect, useRef, useState } from 'react';
import { begin } from './activity';
import { ApiError } from './api';

export interface QueryState<T> {
  data: T | undefined;
  /** The data are of an older key, the new ones are under way. */
  stale: boolean;
  loading: boolean;
  error: string | null;
  /** The code of a server's error, '' for others. */
  code: string;
  cancelled: boolean;
  retry: () => void;
}

/** Answers kept; a flame graph of 200,000 nodes has about 10 MB. */
const KEPT = 24;
const cache = new Map<string, unknown>();
let epoch = 0;

/** Forgets all answers: somebody else asks, or what was asked may have changed. Who renders next asks again. */
export function forget(): void {
  epoch++;
  cache.clear();
}

function remember(key: string, data: unknown): void {
  cache.delete(key);
  cache.set(key, data);
  for (const oldest of cache.keys()) {
    if (cache.size <= KEPT) break;
    cache.delete(oldest);
  }
}

export type Run<T> = (signal: AbortSignal, progress: (bytes: number) => void) => Promise<T>;

/** `question` null asks nothing. The same text must mean the same question. */
export function useQuery<T>(label: string, question: string | null, run: Run<T>): QueryState<T> {
  const key = question && `${epoch} ${question}`;
  const [state, setState] = useState<{ key: string | null; data: T | undefined; loading: boolean; error: string | null; code: string; cancelled: boolean }>({
    key: null, data: undefined, loading: false, error: null, code: '', cancelled: false,
  });
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(run);
  latest.current = run;

  useEffect(() => {
    if (key === null) {
      setState({ key: null, data: undefined, loading: false, error: null, code: '', cancelled: false });
      return;
    }
    if (cache.has(key)) {
      setState({ key, data: cache.get(key) as T, loading: false, error: null, code: '', cancelled: false });
      return;
    }
    const abort = new AbortController();
    let byUser = false;
    const { progress, end } = begin(label, () => {
      byUser = true;
      abort.abort();
    });
    setState((before) => ({ ...before, loading: true, error: null, code: '', cancelled: false }));
    latest.current(abort.signal, progress).then(
      (data) => {
        end();
        if (abort.signal.aborted) return;
        remember(key, data);
        setState({ key, data, loading: false, error: null, code: '', cancelled: false });
      },
      (error: unknown) => {
        end();
        if (abort.signal.aborted && !byUser) return;
        setState((before) => ({ ...before, loading: false, error: byUser ? null : messageOf(error), code: error instanceof ApiError ? error.code : '', cancelled: byUser }));
      },
    );
    return () => {
      abort.abort();
      end();
    };
  }, [key, label, attempt]);

  const retry = useCallback(() => {
    if (key) cache.delete(key);
    setAttempt((count) => count + 1);
  }, [key]);
  return { data: state.data, stale: state.key !== key && !state.error && !state.cancelled, loading: state.loading, error: state.error, code: state.code, cancelled: state.cancelled, retry };
}

export function messageOf(error: unknown): string {
  if (error instanceof TypeError) return 'The server cannot be reached. Is it running?';
  return error instanceof Error ? error.message : String(error);
}
