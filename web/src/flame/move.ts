// Moving a selection through a flame graph by keys.

import { childrenOf, type FlameTree } from './tree';

export type Direction = 'in' | 'out' | 'left' | 'right';

/** The node that lies in a direction; the same node where there is none. */
export function move(tree: FlameTree, node: number, direction: Direction): number {
  const level = tree.depth[node];
  switch (direction) {
    case 'out':
      return Math.max(0, tree.parent[node]);
    case 'in': {
      const [from, to] = childrenOf(tree, node);
      let heaviest = node;
      for (let child = from; child < to; child++) if (heaviest === node || tree.total[child] > tree.total[heaviest]) heaviest = child;
      return heaviest;
    }
    case 'left':
      return node > tree.levelStart[level] ? node - 1 : node;
    case 'right':
      return node + 1 < tree.levelStart[level + 1] ? node + 1 : node;
  }
}
