// Trees made of other trees: sandwiches, collapsed recursion, one function's callers and callees.
//
// `Builder` takes nodes in any order and lays them out at the end, so each transformation says only which node goes where.

import { allocate, placeChildren, placeShares, type FlameTree } from './tree';

class Builder {
  private readonly parent: number[] = [-1];
  private readonly name: number[];
  private readonly self: number[] = [0];
  private readonly left: number[] = [0];
  private readonly right: number[] = [0];
  /** Children by `parent * names + name`. */
  private readonly children = new Map<number, number>();

  constructor(
    private readonly names: string[],
    private readonly source: FlameTree,
    root: number,
  ) {
    this.name = [root];
  }

  child(parent: number, name: number): number {
    const key = parent * this.names.length + name;
    let node = this.children.get(key);
    if (node === undefined) {
      node = this.parent.length;
      this.children.set(key, node);
      this.parent.push(parent);
      this.name.push(name);
      this.self.push(0);
      this.left.push(0);
      this.right.push(0);
    }
    return node;
  }

  /** Adds the own value of a source's node. */
  addSelf(node: number, from: number): void {
    const sides = this.source.sides;
    this.self[node] += this.source.self[from];
    if (sides) {
      this.left[node] += sides.leftSelf[from];
      this.right[node] += sides.rightSelf[from];
    }
  }

  /** Adds the whole value of a source's node. */
  addTotal(node: number, from: number): void {
    const sides = this.source.sides;
    this.self[node] += this.source.total[from];
    if (sides) {
      this.left[node] += sides.leftTotal[from];
      this.right[node] += sides.rightTotal[from];
    }
  }

  finish(): FlameTree {
    const count = this.parent.length;
    // A node is always made after its parent, so one pass each way is enough.
    const depth = new Int32Array(count);
    const totals = Float64Array.from(this.self);
    const lefts = Float64Array.from(this.left);
    const rights = Float64Array.from(this.right);
    for (let i = 1; i < count; i++) depth[i] = depth[this.parent[i]] + 1;
    for (let i = count - 1; i > 0; i--) {
      totals[this.parent[i]] += totals[i];
      lefts[this.parent[i]] += lefts[i];
      rights[this.parent[i]] += rights[i];
    }
    const sizes: number[] = [];
    for (let i = 0; i < count; i++) sizes[depth[i]] = (sizes[depth[i]] ?? 0) + 1;
    const tree = allocate(this.names, sizes, this.source.sides !== null);
    const levels: number[][] = sizes.map(() => []);
    for (let i = 0; i < count; i++) levels[depth[i]].push(i);
    const placed = new Int32Array(count);
    let at = 0;
    for (const level of levels) {
      level.sort((a, b) => placed[this.parent[a]] - placed[this.parent[b]] || this.compare(this.name[a], this.name[b]));
      for (const i of level) {
        placed[i] = at;
        tree.parent[at] = this.parent[i] < 0 ? -1 : placed[this.parent[i]];
        tree.name[at] = this.name[i];
        tree.total[at] = totals[i];
        tree.self[at] = this.self[i];
        if (tree.sides) {
          tree.sides.leftTotal[at] = lefts[i];
          tree.sides.rightTotal[at] = rights[i];
          tree.sides.leftSelf[at] = this.left[i];
          tree.sides.rightSelf[at] = this.right[i];
        }
        at++;
      }
    }
    if (tree.sides && this.source.sides) {
      // Shares stay shares of the whole, not of this part.
      tree.sides.leftTicks = this.source.sides.leftTicks;
      tree.sides.rightTicks = this.source.sides.rightTicks;
      placeShares(tree);
    } else {
      placeChildren(tree);
    }
    return tree;
  }

  private compare(a: number, b: number): number {
    return this.names[a] < this.names[b] ? -1 : 1;
  }
}

/** Nodes named `name` with no such node above them. */
function topmost(tree: FlameTree, name: number): number[] {
  const inside = new Uint8Array(tree.x.length);
  const found: number[] = [];
  for (let node = 0; node < tree.x.length; node++) {
    const parent = tree.parent[node];
    if (parent >= 0 && inside[parent]) inside[node] = 1;
    else if (tree.name[node] === name) {
      inside[node] = 1;
      found.push(node);
    }
  }
  return found;
}

/** What `name` calls, all places where it is called put together. */
export function callees(tree: FlameTree, name: number): FlameTree {
  const builder = new Builder(tree.names, tree, name);
  const map = new Int32Array(tree.x.length).fill(-1);
  for (const node of topmost(tree, name)) map[node] = 0;
  for (let node = 0; node < tree.x.length; node++) {
    const parent = tree.parent[node];
    if (map[node] < 0 && parent >= 0 && map[parent] >= 0) map[node] = builder.child(map[parent], tree.name[node]);
    if (map[node] >= 0) builder.addSelf(map[node], node);
  }
  return builder.finish();
}

/** Who calls `name`, upside down: the root is the function, its children are its callers. The virtual root is left out. */
export function callers(tree: FlameTree, name: number): FlameTree {
  const builder = new Builder(tree.names, tree, name);
  for (const node of topmost(tree, name)) {
    let at = 0;
    for (let up = tree.parent[node]; up > 0; up = tree.parent[up]) at = builder.child(at, tree.name[up]);
    builder.addTotal(at, node);
  }
  return builder.finish();
}

/** Functions that call themselves directly become one node. */
export function collapseRecursion(tree: FlameTree): FlameTree {
  const builder = new Builder(tree.names, tree, tree.name[0] ?? 0);
  const map = new Int32Array(tree.x.length);
  for (let node = 0; node < tree.x.length; node++) {
    const parent = tree.parent[node];
    if (parent < 0) map[node] = 0;
    else if (tree.name[parent] === tree.name[node]) map[node] = map[parent];
    else map[node] = builder.child(map[parent], tree.name[node]);
    builder.addSelf(map[node], node);
  }
  return builder.finish();
}

/** Whether any function calls itself directly. */
export function hasRecursion(tree: FlameTree): boolean {
  for (let node = 1; node < tree.x.length; node++) if (tree.name[node] === tree.name[tree.parent[node]]) return true;
  return false;
}
