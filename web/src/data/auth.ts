// Who asks: the request token, where the server wants one, and the tenants that were looked at before. The token stands in no link.

import { useSyncExternalStore } from 'react';

const TOKEN = 'flamelake.token';
const TENANTS = 'flamelake.tenants';
/** So many tenants are remembered. */
const TENANTS_MAX = 8;

const listeners = new Set<() => void>();

/** A browser that keeps nothing (or refuses to) still works: until the page is closed. */
function stores(): Storage[] {
  try {
    return [sessionStorage, localStorage];
  } catch {
    return [];
  }
}

let current = stores().reduce((found, store) => found || (store.getItem(TOKEN) ?? ''), '');

export const token = (): string => current;

/** `keep` in this browser; else until the tab is closed. */
export function setToken(text: string, keep: boolean): void {
  current = text;
  const [session, local] = stores();
  try {
    for (const store of [session, local]) store?.removeItem(TOKEN);
    if (text) (keep ? local : session)?.setItem(TOKEN, text);
  } catch {
    // It is in memory.
  }
  for (const listener of listeners) listener();
}

export function useToken(): string {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

/** Whether the token outlives the tab. */
export function isKept(): boolean {
  return Boolean(stores()[1]?.getItem(TOKEN));
}

/** The last ones first. */
export function recentTenants(): string[] {
  try {
    const list: unknown = JSON.parse(stores()[1]?.getItem(TENANTS) ?? '[]');
    return Array.isArray(list) ? list.filter((each) => typeof each === 'string').slice(0, TENANTS_MAX) : [];
  } catch {
    return [];
  }
}

export function rememberTenant(tenant: string): void {
  if (!tenant) return;
  try {
    stores()[1]?.setItem(TENANTS, JSON.stringify([tenant, ...recentTenants().filter((each) => each !== tenant)].slice(0, TENANTS_MAX)));
  } catch {
    // A full store forgets.
  }
}

/** What is wrong with it as a header's value (the server's rule for ids), null if nothing. */
export function tenantProblem(tenant: string): string | null {
  for (const id of tenant ? tenant.split('|') : []) {
    if (!id) return 'A tenant between | is empty.';
    if (id.length > 150) return 'A tenant has at most 150 characters.';
    if (!/^[a-zA-Z0-9!_.*'()-]+$/.test(id) || id === '.' || id === '..') return `${id} is no tenant: letters, digits and ! - _ . * ' ( )`;
  }
  return null;
}
