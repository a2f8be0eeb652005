// Self and total of each function: the table beside the flame graph, and its accessible twin.

import type { FlameTree } from './tree';

export interface FunctionRow {
  name: number;
  label: string;
  self: number;
  total: number;
  leftSelf: number;
  leftTotal: number;
  rightSelf: number;
  rightTotal: number;
}

/** A function that stands above itself counts once in `total`. The virtual root is left out. */
export function functions(tree: FlameTree): FunctionRow[] {
  const rows: (FunctionRow | undefined)[] = new Array(tree.names.length);
  const sides = tree.sides;
  const nested = nestedNodes(tree);
  for (let node = 1; node < tree.x.length; node++) {
    const name = tree.name[node];
    let row = rows[name];
    if (!row) {
      row = { name, label: tree.names[name], self: 0, total: 0, leftSelf: 0, leftTotal: 0, rightSelf: 0, rightTotal: 0 };
      rows[name] = row;
    }
    row.self += tree.self[node];
    if (!nested[node]) row.total += tree.total[node];
    if (!sides) continue;
    row.leftSelf += sides.leftSelf[node];
    row.rightSelf += sides.rightSelf[node];
    if (nested[node]) continue;
    row.leftTotal += sides.leftTotal[node];
    row.rightTotal += sides.rightTotal[node];
  }
  return rows.filter((row) => row !== undefined);
}

/** 1 where a node of the same name stands above. */
function nestedNodes(tree: FlameTree): Uint8Array {
  const nested = new Uint8Array(tree.x.length);
  const counts = new Int32Array(tree.names.length);
  // Depth first without a stack of calls: children of a node are neighbours, `next` is where each node's walk goes on.
  const first = new Int32Array(tree.x.length).fill(-1);
  const sibling = new Int32Array(tree.x.length).fill(-1);
  for (let node = tree.x.length - 1; node > 0; node--) {
    sibling[node] = first[tree.parent[node]];
    first[tree.parent[node]] = node;
  }
  let node = 0;
  while (node >= 0 && node < tree.x.length) {
    nested[node] = counts[tree.name[node]] > 0 ? 1 : 0;
    counts[tree.name[node]]++;
    if (first[node] >= 0) {
      node = first[node];
      continue;
    }
    while (node >= 0) {
      counts[tree.name[node]]--;
      if (sibling[node] >= 0) {
        node = sibling[node];
        break;
      }
      node = tree.parent[node];
    }
  }
  return nested;
}

export type SortKey = 'name' | 'self' | 'total' | 'left' | 'right' | 'change';

/** The change of a function's share of its side, in percentage points. */
export function change(row: FunctionRow, leftTicks: number, rightTicks: number, by: 'self' | 'total' = 'total'): number {
  const left = by === 'total' ? row.leftTotal : row.leftSelf;
  const right = by === 'total' ? row.rightTotal : row.rightSelf;
  return (rightTicks > 0 ? (right / rightTicks) * 100 : 0) - (leftTicks > 0 ? (left / leftTicks) * 100 : 0);
}

export function sortRows(rows: FunctionRow[], key: SortKey, descending: boolean, leftTicks = 0, rightTicks = 0): FunctionRow[] {
  const value: (row: FunctionRow) => number = {
    name: () => 0,
    self: (row: FunctionRow) => row.self,
    total: (row: FunctionRow) => row.total,
    left: (row: FunctionRow) => row.leftTotal,
    right: (row: FunctionRow) => row.rightTotal,
    change: (row: FunctionRow) => change(row, leftTicks, rightTicks),
  }[key];
  const sign = descending ? -1 : 1;
  const byName = (a: FunctionRow, b: FunctionRow) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0);
  return [...rows].sort((a, b) => (key === 'name' ? sign * byName(a, b) : sign * (value(a) - value(b)) || byName(a, b)));
}

/** The heaviest node of a function, -1 if it has none. */
export function heaviestNode(tree: FlameTree, label: string): number {
  const name = tree.names.indexOf(label);
  let heaviest = -1;
  if (name < 0) return heaviest;
  for (let node = 1; node < tree.x.length; node++) if (tree.name[node] === name && (heaviest < 0 || tree.total[node] > tree.total[heaviest])) heaviest = node;
  return heaviest;
}
