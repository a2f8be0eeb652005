// Trees for tests and benches: from folded stacks, or of a wanted size from a seed.

import { allocate, placeChildren, type FlameTree } from '../src/flame/tree';

interface Node {
  name: string;
  self: number;
  children: Map<string, Node>;
}

export function treeOf(stacks: string): FlameTree {
  const root: Node = { name: 'total', self: 0, children: new Map() };
  for (const line of stacks.trim().split('\n')) {
    const space = line.lastIndexOf(' ');
    let at = root;
    for (const name of line.slice(0, space).split(';')) {
      let child = at.children.get(name);
      if (!child) at.children.set(name, (child = { name, self: 0, children: new Map() }));
      at = child;
    }
    at.self += Number(line.slice(space + 1));
  }
  return place(root);
}

function place(root: Node): FlameTree {
  const levels: { node: Node; parent: number }[][] = [[{ node: root, parent: -1 }]];
  let start = 0;
  for (;;) {
    const level = levels[levels.length - 1];
    const next = level.flatMap(({ node }, i) =>
      [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).map((child) => ({ node: child, parent: start + i })),
    );
    if (!next.length) break;
    start += level.length;
    levels.push(next);
  }
  const index = new Map<string, number>();
  const flat = levels.flat();
  for (const { node } of flat) if (!index.has(node.name)) index.set(node.name, index.size);
  const tree = allocate([...index.keys()], levels.map((level) => level.length), false);
  flat.forEach(({ node, parent }, i) => {
    tree.name[i] = index.get(node.name)!;
    tree.parent[i] = parent;
    tree.self[i] = node.self;
    tree.total[i] = node.self;
  });
  for (let i = flat.length - 1; i > 0; i--) tree.total[tree.parent[i]] += tree.total[i];
  placeChildren(tree);
  return tree;
}

/** A tree of about `nodes` nodes with names like those of programs; always the same one. */
export function synthetic(nodes: number): FlameTree {
  let seed = 42;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const root: Node = { name: 'total', self: 0, children: new Map() };
  const all: { node: Node; depth: number }[] = [{ node: root, depth: 0 }];
  const packages = ['net/http', 'runtime', 'encoding/json', 'github.com/acme/shop/cart', 'database/sql', 'crypto/tls', 'sync', 'os'];
  while (all.length < nodes) {
    // Rather deep than wide, as stacks are.
    const at = all[Math.floor(all.length * (1 - random() ** 3 * 0.999))] ?? all[0];
    if (at.depth > 60) continue;
    const name = `${packages[Math.floor(random() * packages.length)]}.fn${Math.floor(random() * 2000)}`;
    if (at.node.children.has(name)) continue;
    const child: Node = { name, self: Math.floor(random() ** 6 * 1e6) + 1, children: new Map() };
    at.node.children.set(name, child);
    all.push({ node: child, depth: at.depth + 1 });
  }
  return place(root);
}
