// A flame graph in typed arrays.
//
// Nodes are numbered level by level, and within a level from left to right. So a parent's number is below its children's, the children of a
// node are neighbours, and within a level `x` ascends: a level can be searched by bisection, a pass over all nodes is one loop, and
// nothing is allocated per node. A diff holds both sides; `x`, `total` and `self` are then shares (see `fromDiffLevels`).

export interface Sides {
  leftTotal: Float64Array;
  leftSelf: Float64Array;
  rightTotal: Float64Array;
  rightSelf: Float64Array;
  leftTicks: number;
  rightTicks: number;
}

export interface FlameTree {
  names: string[];
  /** First node of each level; one more entry at the end. */
  levelStart: Int32Array;
  x: Float64Array;
  total: Float64Array;
  self: Float64Array;
  name: Int32Array;
  /** -1 for the root. */
  parent: Int32Array;
  depth: Uint16Array;
  /** Both sides, if this is a diff. */
  sides: Sides | null;
}

/** A level of an answer; int64 come as texts. */
export interface WireLevel {
  values?: (string | number)[];
}

export interface WireFlameGraph {
  names?: string[];
  levels?: WireLevel[];
  total?: string | number;
  maxSelf?: string | number;
  leftTicks?: string | number;
  rightTicks?: string | number;
}

export function nodeCount(tree: FlameTree): number {
  return tree.x.length;
}

export function isEmpty(tree: FlameTree): boolean {
  return tree.x.length <= 1 && !(tree.total[0] > 0);
}

export function allocate(names: string[], levelSizes: number[], diff: boolean): FlameTree {
  const count = levelSizes.reduce((sum, size) => sum + size, 0);
  const levelStart = new Int32Array(levelSizes.length + 1);
  const depth = new Uint16Array(count);
  for (let level = 0; level < levelSizes.length; level++) {
    levelStart[level + 1] = levelStart[level] + levelSizes[level];
    depth.fill(level, levelStart[level], levelStart[level + 1]);
  }
  const numbers = () => new Float64Array(count);
  return {
    names,
    levelStart,
    x: numbers(),
    total: numbers(),
    self: numbers(),
    name: new Int32Array(count),
    parent: new Int32Array(count).fill(-1),
    depth,
    sides: diff
      ? { leftTotal: numbers(), leftSelf: numbers(), rightTotal: numbers(), rightSelf: numbers(), leftTicks: 0, rightTicks: 0 }
      : null,
  };
}

/** Levels of four numbers a node: offset from the end of the bar before, total, self, name. */
export function fromLevels(graph: WireFlameGraph): FlameTree {
  const levels = graph.levels ?? [];
  const tree = allocate(graph.names ?? [], levels.map((level) => Math.floor((level.values?.length ?? 0) / 4)), false);
  let node = 0;
  for (const level of levels) {
    const values = level.values ?? [];
    let end = 0;
    for (let i = 0; i + 3 < values.length; i += 4, node++) {
      const x = end + Number(values[i]);
      const total = Number(values[i + 1]);
      tree.x[node] = x;
      tree.total[node] = total;
      tree.self[node] = Number(values[i + 2]);
      tree.name[node] = Number(values[i + 3]);
      end = x + total;
    }
  }
  findParents(tree, tree.x, tree.total);
  return tree;
}

/**
 * Levels of seven numbers a node. A node is as wide as the mean of its shares of either side, so two ranges of different length
 * compare fairly; `x`, `total` and `self` are such shares, scaled to a million.
 */
export function fromDiffLevels(graph: WireFlameGraph): FlameTree {
  const levels = graph.levels ?? [];
  const tree = allocate(graph.names ?? [], levels.map((level) => Math.floor((level.values?.length ?? 0) / 7)), true);
  const sides = tree.sides!;
  sides.leftTicks = Number(graph.leftTicks ?? 0);
  sides.rightTicks = Number(graph.rightTicks ?? 0);
  const leftX = new Float64Array(tree.x.length);
  const rightX = new Float64Array(tree.x.length);
  let node = 0;
  for (const level of levels) {
    const values = level.values ?? [];
    let leftEnd = 0;
    let rightEnd = 0;
    for (let i = 0; i + 6 < values.length; i += 7, node++) {
      leftX[node] = leftEnd + Number(values[i]);
      sides.leftTotal[node] = Number(values[i + 1]);
      sides.leftSelf[node] = Number(values[i + 2]);
      rightX[node] = rightEnd + Number(values[i + 3]);
      sides.rightTotal[node] = Number(values[i + 4]);
      sides.rightSelf[node] = Number(values[i + 5]);
      tree.name[node] = Number(values[i + 6]);
      leftEnd = leftX[node] + sides.leftTotal[node];
      rightEnd = rightX[node] + sides.rightTotal[node];
    }
  }
  // The sum of both sides is exact in integers, so parents are found in it; shares come after.
  const sum = sides.leftTotal.map((value, i) => value + sides.rightTotal[i]);
  findParents(tree, leftX.map((value, i) => value + rightX[i]), sum);
  placeShares(tree);
  return tree;
}

/** The million that the shares of a diff are scaled to. */
export const SHARE_UNIT = 1_000_000;

/** Fills `x`, `total` and `self` of a diff from its sides. */
export function placeShares(tree: FlameTree): void {
  const sides = tree.sides!;
  const both = (sides.leftTicks > 0 ? 1 : 0) + (sides.rightTicks > 0 ? 1 : 0);
  const leftUnit = sides.leftTicks > 0 ? SHARE_UNIT / sides.leftTicks / both : 0;
  const rightUnit = sides.rightTicks > 0 ? SHARE_UNIT / sides.rightTicks / both : 0;
  for (let node = 0; node < tree.x.length; node++) {
    tree.total[node] = sides.leftTotal[node] * leftUnit + sides.rightTotal[node] * rightUnit;
    tree.self[node] = sides.leftSelf[node] * leftUnit + sides.rightSelf[node] * rightUnit;
  }
  placeChildren(tree);
}

/** Fills `x` from `total`, `self` and `parent`: children stand side by side behind their parent's own share. */
export function placeChildren(tree: FlameTree): void {
  let end = 0;
  for (let node = 0; node < tree.x.length; node++) {
    const parent = tree.parent[node];
    if (parent < 0) {
      tree.x[node] = 0;
      continue;
    }
    if (node === 0 || tree.parent[node - 1] !== parent) end = tree.x[parent] + tree.self[parent];
    tree.x[node] = end;
    end += tree.total[node];
  }
}

/** Both levels ascend in x, so one walk over the two finds all parents. */
function findParents(tree: FlameTree, x: Float64Array, total: Float64Array): void {
  const { levelStart, parent } = tree;
  for (let level = 1; level + 1 < levelStart.length; level++) {
    let above = levelStart[level - 1];
    const last = levelStart[level] - 1;
    for (let node = levelStart[level]; node < levelStart[level + 1]; node++) {
      while (above < last && x[above] + total[above] <= x[node]) above++;
      parent[node] = above;
    }
  }
}

/** Node numbers from the root down to `node`. */
export function pathOf(tree: FlameTree, node: number): number[] {
  const path: number[] = [];
  for (let at = node; at >= 0; at = tree.parent[at]) path.push(at);
  return path.reverse();
}

/** Names from the root's child down to `node`: the call site as the API takes it. */
export function callSite(tree: FlameTree, node: number): string[] {
  return pathOf(tree, node).slice(1).map((at) => tree.names[tree.name[at]]);
}

/** First and one past the last child of `node`; equal if there are none. */
export function childrenOf(tree: FlameTree, node: number): [number, number] {
  const level = tree.depth[node] + 1;
  if (level + 1 >= tree.levelStart.length) return [0, 0];
  const [from, to] = [tree.levelStart[level], tree.levelStart[level + 1]];
  return [bisect(tree.parent, node, from, to), bisect(tree.parent, node + 1, from, to)];
}

/** First index in `from..to` whose value is at least `wanted`. */
export function bisect(values: Int32Array | Float64Array, wanted: number, from: number, to: number): number {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (values[middle] < wanted) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * A key of the way from the root, for links: FNV-1a over the names, with the depth. It outlives a reload and other data.
 * Names are joined by a byte that ends each.
 */
export function pathKeys(tree: FlameTree): Uint32Array {
  const keys = new Uint32Array(tree.x.length);
  const hashes = new Map<number, number>();
  for (let node = 0; node < keys.length; node++) {
    const parent = tree.parent[node];
    if (parent < 0) {
      keys[node] = 0x811c9dc5;
      continue;
    }
    const name = tree.name[node];
    let own = hashes.get(name);
    if (own === undefined) hashes.set(name, (own = hashText(tree.names[name])));
    keys[node] = Math.imul((keys[parent] ^ own) >>> 0, 0x01000193) >>> 0;
  }
  return keys;
}

export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** `depth.key`, both in base 36. */
export function nodeKey(tree: FlameTree, node: number): string {
  return `${tree.depth[node].toString(36)}.${pathKeys(tree)[node].toString(36)}`;
}

/** The node of a key, -1 if these data have none. */
export function findKey(tree: FlameTree, key: string): number {
  const [depth, hash] = key.split('.').map((part) => Number.parseInt(part, 36));
  if (!(depth >= 0) || depth + 1 >= tree.levelStart.length) return -1;
  const keys = pathKeys(tree);
  for (let node = tree.levelStart[depth]; node < tree.levelStart[depth + 1]; node++) if (keys[node] === hash) return node;
  return -1;
}
