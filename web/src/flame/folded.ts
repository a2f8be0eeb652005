// A flame graph as folded stacks, `a;b;c 3` a line.

import type { FlameTree } from './tree';

export function folded(tree: FlameTree): string {
  const lines: string[] = [];
  const stack: string[] = [];
  const order = depthFirst(tree);
  for (const node of order) {
    if (node === 0) continue;
    stack.length = tree.depth[node] - 1;
    // A semicolon in a name would make two frames of it.
    stack.push(tree.names[tree.name[node]].replaceAll(';', ':').replaceAll('\n', ' '));
    const sides = tree.sides;
    if (sides) {
      if (sides.leftSelf[node] || sides.rightSelf[node]) lines.push(`${stack.join(';')} ${sides.leftSelf[node]} ${sides.rightSelf[node]}`);
    } else if (tree.self[node] > 0) lines.push(`${stack.join(';')} ${tree.self[node]}`);
  }
  return lines.join('\n') + (lines.length ? '\n' : '');
}

/** All nodes, each before its children, siblings from left to right. */
export function depthFirst(tree: FlameTree): Int32Array {
  const count = tree.x.length;
  const size = new Int32Array(count).fill(1);
  for (let node = count - 1; node > 0; node--) size[tree.parent[node]] += size[node];
  const place = new Int32Array(count);
  const order = new Int32Array(count);
  let next = 0;
  for (let node = 0; node < count; node++) {
    const parent = tree.parent[node];
    if (parent < 0) place[node] = 0;
    else {
      if (tree.parent[node - 1] !== parent || node - 1 === parent) next = place[parent] + 1;
      place[node] = next;
      next += size[node];
    }
    order[place[node]] = node;
  }
  return order;
}
