// Dark or light: what the system says, until a person says otherwise.

import { useCallback, useEffect, useState } from 'react';
import type { Theme } from '../flame/color';

const KEY = 'flamelake.theme';

function stored(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : null;
  } catch {
    return null;
  }
}

const systemTheme = (): Theme => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');

export function applyStoredTheme(): void {
  document.documentElement.dataset.theme = stored() ?? systemTheme();
}

export function useTheme(): [Theme, () => void] {
  const [system, setSystem] = useState<Theme>(systemTheme);
  const [own, setOwn] = useState<Theme | null>(stored);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const changed = () => setSystem(systemTheme());
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  const theme = own ?? system;
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const toggle = useCallback(() => {
    const next = theme === 'dark' ? 'light' : 'dark';
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // A browser that keeps nothing still switches.
    }
    setOwn(next);
  }, [theme]);
  return [theme, toggle];
}
