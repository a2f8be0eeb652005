// Keys that work anywhere but in a field.

import { useEffect, useRef } from 'react';
import type { Update } from '../data/state';

export interface Actions {
  update: Update;
  refresh: () => void;
  share: () => void;
  toggleTheme: () => void;
  help: () => void;
  upload: () => void;
  cancel: () => void;
}

const click = (id: string) => document.getElementById(id)?.click();
const focus = (selector: string) => document.querySelector<HTMLElement>(selector)?.focus();

export function useShortcuts(actions: Actions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const keys: Record<string, () => void> = {
      '/': () => focus('#search'),
      p: () => click('service'),
      t: () => click('type'),
      l: () => focus('#filter'),
      r: () => click('time'),
      g: () => focus('.flame-scroll'),
      '1': () => latest.current.update({ view: 'explore', focus: '' }),
      '2': () => latest.current.update({ view: 'compare', focus: '' }),
      '3': () => latest.current.update({ view: 'heatmap', focus: '' }),
      '4': () => latest.current.update({ view: 'spans', focus: '' }),
      '5': () => latest.current.update({ view: 'functions', focus: '' }),
      '6': () => latest.current.update({ view: 'files', focus: '' }),
      y: () => latest.current.share(),
      u: () => latest.current.upload(),
      d: () => latest.current.toggleTheme(),
      '.': () => latest.current.refresh(),
      '?': () => latest.current.help(),
      Escape: () => latest.current.cancel(),
    };
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && event.key !== 'Escape') return;
      const action = keys[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}
