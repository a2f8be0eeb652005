// Queries under way, for the bar on top and the button that cancels them.

import { useSyncExternalStore } from 'react';

export interface Activity {
  label: string;
  started: number;
  bytes: number;
  cancel: () => void;
}

let running: readonly Activity[] = [];
const listeners = new Set<() => void>();

function changed(next: readonly Activity[]): void {
  running = next;
  for (const listener of listeners) listener();
}

export function begin(label: string, cancel: () => void): { activity: Activity; progress: (bytes: number) => void; end: () => void } {
  const activity: Activity = { label, started: performance.now(), bytes: 0, cancel };
  changed([...running, activity]);
  return {
    activity,
    progress: (bytes) => {
      activity.bytes = bytes;
    },
    end: () => changed(running.filter((each) => each !== activity)),
  };
}

export function useActivities(): readonly Activity[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => running,
  );
}

export function cancelAll(): void {
  for (const each of running) each.cancel();
}
