// Search in a flame graph: which functions match, and which share of the whole they are.

import type { FlameTree } from './tree';

export interface Found {
  /** 1 for each name that matches. */
  names: Uint8Array;
  /** How many nodes match. */
  nodes: number;
  /** Value of all that match; a match below a match counts once. */
  value: number;
}

/** Text is looked for in any case; `/…/` is a regular expression, and `"…"` a whole name. */
export function matcher(query: string): ((name: string) => boolean) | null {
  const text = query.trim();
  if (!text) return null;
  if (text.length > 2 && text.startsWith('"') && text.endsWith('"')) {
    const whole = text.slice(1, -1);
    return (name) => name === whole;
  }
  if (text.length > 2 && text.startsWith('/') && text.endsWith('/')) {
    try {
      const pattern = new RegExp(text.slice(1, -1), 'i');
      return (name) => pattern.test(name);
    } catch {
      return () => false;
    }
  }
  const lower = text.toLowerCase();
  return (name) => name.toLowerCase().includes(lower);
}

/** A text that matches itself alone. */
export function quoteRegex(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}

/** The same search as the server takes it (RE2, whole names); null where there is none. */
export function asRegex(query: string): { function: string } | { regex: string } | null {
  const text = query.trim();
  if (!text) return null;
  if (text.length > 2 && text.startsWith('"') && text.endsWith('"')) return { function: text.slice(1, -1) };
  const inner = text.length > 2 && text.startsWith('/') && text.endsWith('/') ? `(?:${text.slice(1, -1)})` : quoteRegex(text);
  return { regex: `(?i).*${inner}.*` };
}

export function search(tree: FlameTree, query: string): Found | null {
  const matches = matcher(query);
  if (!matches) return null;
  const names = Uint8Array.from(tree.names, (name) => (matches(name) ? 1 : 0));
  const inside = new Uint8Array(tree.x.length);
  let nodes = 0;
  let value = 0;
  // Parents come before their children. The virtual root is no function.
  for (let node = 1; node < tree.x.length; node++) {
    const hit = names[tree.name[node]];
    nodes += hit;
    if (inside[tree.parent[node]]) inside[node] = 1;
    else if (hit) {
      inside[node] = 1;
      value += tree.total[node];
    }
  }
  return { names, nodes, value };
}
