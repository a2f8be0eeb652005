import { describe, expect, it } from 'vitest';
import { callees, callers, collapseRecursion, hasRecursion } from '../src/flame/build';
import { changeBucket, diffBuckets, diffPalette, nameBuckets, oklch, packageOf, palette } from '../src/flame/color';
import { draw, drawOver, fit, shortName, type Look } from '../src/flame/draw';
import { fromFlamebearer } from '../src/flame/flamebearer';
import { depthFirst, folded } from '../src/flame/folded';
import { change, functions, heaviestNode, sortRows } from '../src/flame/functions';
import { layout, nodeAt, placeOf, rectangles, type Viewport } from '../src/flame/layout';
import { move } from '../src/flame/move';
import { asRegex, search } from '../src/flame/search';
import { svg } from '../src/flame/svg';
import { callSite, childrenOf, findKey, fromDiffLevels, fromLevels, nodeKey, type FlameTree } from '../src/flame/tree';
import { between, formatSpan, pan, parseSpan, same, showing, spanOf, zoomAt } from '../src/flame/zoom';
import { canvas } from './canvas';
import { synthetic, treeOf } from './trees';

/** `a 3(1)` is a node of total 3 and self 1; levels are parted by ` / `. */
function text(tree: FlameTree): string {
  const levels: string[] = [];
  for (let level = 0; level + 1 < tree.levelStart.length; level++) {
    const nodes: string[] = [];
    for (let node = tree.levelStart[level]; node < tree.levelStart[level + 1]; node++)
      nodes.push(`${tree.names[tree.name[node]]} ${tree.total[node]}(${tree.self[node]})@${tree.x[node]}`);
    levels.push(nodes.join(' '));
  }
  return levels.join(' / ');
}

const view: Viewport = { width: 100, height: 100, scroll: 0, rowHeight: 10, orientation: 'icicle' };

describe('levels', () => {
  it('become absolute places and parents', () => {
    const tree = fromLevels({
      names: ['total', 'e', 'a', 'd', 'b', 'c'],
      levels: [{ values: ['0', '307', '0', '0'] }, { values: ['0', '303', '0', '2', '0', '4', '4', '1'] }, { values: ['0', '3', '2', '4', '0', '300', '300', '3'] }, { values: ['2', '1', '1', '5'] }],
    });
    expect(text(tree)).toBe('total 307(0)@0 / a 303(0)@0 e 4(4)@303 / b 3(2)@0 d 300(300)@3 / c 1(1)@2');
    expect([...tree.parent]).toEqual([-1, 0, 0, 1, 1, 3]);
    expect(callSite(tree, 5)).toEqual(['a', 'b', 'c']);
    expect(childrenOf(tree, 1)).toEqual([3, 5]);
  });

  it('of a diff become shares of either side', () => {
    const tree = fromDiffLevels({
      names: ['total', 'a', 'c', 'b'],
      levels: [{ values: [0, 3, 0, 0, 12, 0, 0] }, { values: [0, 3, 0, 0, 12, 0, 1] }, { values: [0, 1, 1, 0, 4, 4, 3, 0, 2, 2, 0, 8, 8, 2] }],
      leftTicks: '3',
      rightTicks: 12,
    });
    expect([...tree.total].map(Math.round)).toEqual([1000000, 1000000, 333333, 666667]);
    expect([...tree.parent]).toEqual([-1, 0, 1, 1]);
  });

  it('of nothing are an empty tree', () => {
    expect(text(fromLevels({ names: ['total'], levels: [{ values: [0, 0, 0, 0] }] }))).toBe('total 0(0)@0');
    expect(fromLevels({}).x.length).toBe(0);
  });

  it('are found again by the key of a node', () => {
    const tree = treeOf('a;b;c 1\na;d 2\ne;b;c 5');
    for (let node = 0; node < tree.x.length; node++) expect(findKey(tree, nodeKey(tree, node))).toBe(node);
    expect(findKey(tree, '9.zz')).toBe(-1);
    expect(findKey(tree, 'nonsense')).toBe(-1);
  });
});

describe('transformations', () => {
  it('put all callees of a function together', () => {
    expect(text(callees(treeOf('m;f;x 2\nn;f;x 3\nn;f 1\nm;f;f;y 4'), treeOf('m;f;x 2\nn;f;x 3\nn;f 1\nm;f;f;y 4').names.indexOf('f')))).toBe(
      'f 10(1)@0 / f 4(0)@1 x 5(5)@5 / y 4(4)@1',
    );
  });

  it('turn the callers of a function upside down', () => {
    const tree = treeOf('m;f;x 2\nn;o;f;x 3\nn;f 1');
    expect(text(callers(tree, tree.names.indexOf('f')))).toBe('f 6(0)@0 / m 2(2)@0 n 1(1)@2 o 3(0)@3 / n 3(3)@3');
  });

  it('collapse direct recursion', () => {
    const tree = treeOf('a;f;f;f;g 3\na;f;g 2\na;f;f 1');
    expect(hasRecursion(tree)).toBe(true);
    expect(text(collapseRecursion(tree))).toBe('total 6(0)@0 / a 6(0)@0 / f 6(1)@0 / g 5(5)@1');
    expect(hasRecursion(collapseRecursion(tree))).toBe(false);
  });
});

describe('functions', () => {
  it('count a function above itself once', () => {
    const rows = sortRows(functions(treeOf('f;g;f 3\nf 1\nh;f 2')), 'total', true);
    expect(rows.map((row) => [row.label, row.self, row.total])).toEqual([['f', 6, 6], ['g', 0, 3], ['h', 0, 2]]);
  });

  it('know their heaviest node', () => {
    const tree = treeOf('a;f 3\nb;f 5\nc;f;f 4');
    expect(tree.names[tree.name[tree.parent[heaviestNode(tree, 'f')]]]).toBe('b');
    expect(heaviestNode(tree, 'nothing')).toBe(-1);
  });

  it('say how a share changed', () => {
    const row = { name: 0, label: 'f', self: 0, total: 0, leftSelf: 1, leftTotal: 10, rightSelf: 1, rightTotal: 30 };
    expect(change(row, 100, 200)).toBeCloseTo(5);
    expect(change(row, 0, 200)).toBeCloseTo(15);
  });
});

describe('search', () => {
  const tree = treeOf('a;Handler;db.handle 4\nb;Handler 1\nc 5');
  it.each([
    ['handle', 5, 3],
    ['"Handler"', 5, 2],
    ['/^db\\./', 4, 1],
    ['/(/', 0, 0],
    ['nothing', 0, 0],
  ])('%s', (query, value, nodes) => {
    expect(search(tree, query)).toMatchObject({ value, nodes });
  });
  it.each([
    ['a.(*B)', { regex: '(?i).*a\\.\\(\\*B\\).*' }],
    ['"f"', { function: 'f' }],
    ['/^a|b$/', { regex: '(?i).*(?:^a|b$).*' }],
    [' ', null],
  ])('%s is asked of the server', (query, wanted) => expect(asRegex(query)).toEqual(wanted));
  it('of blanks is none', () => expect(search(tree, '  ')).toBeNull());
});

describe('layout', () => {
  const tree = treeOf('a;b 50\na;c 25\nd 25');
  const boxes = (focus: number, more: Partial<Viewport> = {}) => {
    const out = layout(tree, focus, { ...view, ...more }, rectangles(2));
    return Array.from({ length: out.count }, (_, i) => `${tree.names[tree.name[out.node[i]]]} ${out.x[i]},${out.y[i]}+${out.width[i]}${out.above[i] ? ' above' : ''}`);
  };
  it('of an icicle hangs down', () => expect(boxes(0)).toEqual(['total 0,0+100', 'a 0,10+75', 'd 75,10+25', 'b 0,20+50', 'c 50,20+25']));
  it('of a flame stands on the ground', () => expect(boxes(0, { orientation: 'flame' })[0]).toBe('total 0,90+100'));
  it('of a focused node fills the width', () => expect(boxes(2)).toEqual(['total 0,0+100 above', 'd 0,10+100']));
  it('leaves out rows that are scrolled away', () => expect(boxes(0, { scroll: 10, height: 10 })).toEqual(['a 0,0+75', 'd 75,0+25']));
  it('finds the node at a point', () => {
    expect(nodeAt(tree, spanOf(tree, 0), view, 60, 25)).toBe(4);
    expect(nodeAt(tree, spanOf(tree, 0), view, 90, 25)).toBe(-1);
    expect(nodeAt(tree, spanOf(tree, 2), view, 60, 15)).toBe(2);
    expect(nodeAt(tree, spanOf(tree, 0), view, 60, 95)).toBe(-1);
  });
  it('draws a bounded number of bars of a large tree, and none outside', () => {
    const large = synthetic(100_000);
    const out = layout(large, 0, { ...view, width: 1000, height: 2000, rowHeight: 20 }, rectangles());
    const levels = large.levelStart.length - 1;
    expect(out.count).toBeLessThan(levels * 1001);
    expect(out.count).toBeGreaterThan(1000);
    for (let i = 0; i < out.count; i++) expect(out.x[i] >= 0 && out.x[i] + out.width[i] <= 1001).toBe(true);
  });
  it('runs narrow bars together without a hole', () => {
    const many = treeOf(Array.from({ length: 1000 }, (_, i) => `f${String(i).padStart(4, '0')} 1`).join('\n'));
    const out = layout(many, 0, view, rectangles());
    let end = 0;
    let told = 1;
    for (let i = 1; i < out.count; i++) {
      expect(out.x[i]).toBeLessThanOrEqual(end + 0.2);
      end = out.x[i] + out.width[i];
      expect(out.first[i]).toBe(told);
      told += out.nodes[i];
    }
    expect(end).toBeGreaterThan(99.5);
    expect(out.count).toBeLessThan(120);
    // No node is lost in a run, so a search can find it there.
    expect(told).toBe(many.x.length);
  });
});

describe('any part as wide as the screen', () => {
  const tree = treeOf('a;b 50\na;c 25\nd 25');
  const whole = { from: 0, to: 100 };
  it('is laid out, with what is cut at its edges', () => {
    const out = layout(tree, 0, view, rectangles(), { from: 40, to: 60 });
    const boxes = Array.from({ length: out.count }, (_, i) => `${tree.names[tree.name[out.node[i]]]} ${out.x[i]}+${out.width[i]}`);
    expect(boxes).toEqual(['total 0+100', 'a 0+100', 'b 0+50', 'c 50+50']);
  });
  it('knows where a node lies, or that it does not', () => {
    expect(placeOf(tree, 4, { from: 40, to: 60 }, view)).toEqual({ x: 50, y: 20, width: 50 });
    expect(placeOf(tree, 2, { from: 40, to: 60 }, view)).toBeNull();
    expect(placeOf(tree, 4, whole, { ...view, scroll: 40 })).toBeNull();
  });
  it('zooms around a place and never out of the whole', () => {
    expect(zoomAt(whole, whole, 0.5, 0.5)).toEqual({ from: 25, to: 75 });
    expect(zoomAt({ from: 25, to: 75 }, whole, 0.5, 0)).toEqual({ from: 25, to: 50 });
    expect(zoomAt({ from: 0, to: 50 }, whole, 4, 0.5)).toEqual(whole);
    const deep = Array.from({ length: 200 }).reduce<{ from: number; to: number }>((span) => zoomAt(span, whole, 0.5, 0.3), whole);
    expect(deep.to - deep.from).toBeGreaterThan(0);
  });
  it('is moved, and stops at the edges', () => {
    expect(pan({ from: 20, to: 40 }, whole, 0.5)).toEqual({ from: 30, to: 50 });
    expect(pan({ from: 20, to: 40 }, whole, 9)).toEqual({ from: 80, to: 100 });
    expect(pan({ from: 20, to: 40 }, whole, -9)).toEqual({ from: 0, to: 20 });
  });
  it('shows a node with as little moving as can be', () => {
    expect(showing({ from: 20, to: 40 }, { from: 30, to: 35 }, whole)).toEqual({ from: 20, to: 40 });
    expect(showing({ from: 20, to: 40 }, { from: 50, to: 60 }, whole)).toEqual({ from: 40, to: 60 });
    expect(showing({ from: 20, to: 40 }, { from: 5, to: 10 }, whole)).toEqual({ from: 5, to: 25 });
  });
  it('stands in links', () => {
    expect(formatSpan(whole, whole)).toBe('');
    expect(formatSpan({ from: 25, to: 50 }, whole)).toBe('0.25-0.5');
    for (const span of [{ from: 1 / 3, to: 2 / 3 }, { from: 33.333333333, to: 33.333333334 }, { from: 0, to: 1e-5 }])
      expect(same(parseSpan(formatSpan(span, whole), whole)!, span)).toBe(true);
    for (const text of ['', '0.5-0.25', '0.5', 'x-y', '0-2', '-1-1']) expect(parseSpan(text, whole)).toBeNull();
  });
  it('is reached in steps', () => {
    expect(between(whole, { from: 50, to: 60 }, 0)).toEqual(whole);
    expect(between(whole, { from: 50, to: 60 }, 1)).toEqual({ from: 50, to: 60 });
  });
});

describe('drawing', () => {
  const colors = palette('light');
  const look = (tree: FlameTree, more: Partial<Look> = {}): Look => ({ palette: colors, buckets: nameBuckets(tree.names, 'package'), diff: null, found: null, marked: -1, rowHeight: 20, ...more });
  const wide: Viewport = { ...view, width: 600, height: 80, rowHeight: 20 };
  const paint = (tree: FlameTree, more: Partial<Look> = {}, focus = 0) => {
    const { context, drawn } = canvas();
    const shapes = layout(tree, focus, wide, rectangles());
    draw(context, tree, shapes, look(tree, more), new Float32Array(tree.names.length), wide.width, wide.height);
    // The first is the ground.
    return { ...drawn, bars: drawn.bars.slice(1) };
  };
  const tree = treeOf('net/http.serve;json.Marshal 50\nnet/http.serve;json.Unmarshal 25\nnet/http.serve;net/http.write 24\nmain.x 1');

  it('fills each bar once, with a gap to the next, in the colour of its package', () => {
    const { bars } = paint(tree);
    expect(bars.length).toBe(6);
    const at = (y: number) => bars.filter((bar) => bar.y === y).sort((a, b) => a.x - b.x);
    expect(at(0)).toEqual([{ x: 0, y: 0, width: 599, height: 19, color: colors.plain }]);
    expect(at(20).map(({ x, width }) => [x, width])).toEqual([[0, 5], [6, 593]]);
    const [marshal, unmarshal, write] = at(40);
    expect(marshal.color).toBe(unmarshal.color);
    expect(write.color).toBe(at(20)[1].color);
    expect(write.color).not.toBe(marshal.color);
  });
  it('writes names where they fit, and measures each once', () => {
    const { texts, measured } = paint(tree);
    expect(texts.map(({ text }) => text)).toEqual(['total', 'net/http.serve', 'json.Marshal', 'json.Unmarshal', 'net/http.write']);
    expect(new Set(measured).size).toBe(measured.length);
  });
  it('fades what stands above the focus', () => {
    const focused = paint(tree, {}, 2);
    expect(focused.bars.find((bar) => bar.y === 0)?.color).toBe(colors.plainFaded);
    expect(focused.texts[0].text).toBe('net/http.serve');
    expect(focused.texts.find(({ text }) => text === 'total')?.color).toBe(colors.textFaded);
  });
  it('lights what a search found, however narrow it is', () => {
    const found = search(tree, 'marshal')!.names;
    const { bars } = paint(tree, { found });
    expect(bars.filter((bar) => bar.color === colors.match).map((bar) => bar.y)).toEqual([40, 40]);
    const many = treeOf(Array.from({ length: 3000 }, (_, i) => `f${String(i).padStart(4, '0')} 1`).join('\n'));
    const lit = paint(many, { found: search(many, '"f1500"')!.names }).bars.filter((bar) => bar.color === colors.runMatch);
    expect(lit.length).toBe(1);
    expect(Math.abs(lit[0].x - 300)).toBeLessThan(8);
  });
  it('paints a diff by its changes', () => {
    const diff = fromDiffLevels({ names: ['total', 'a', 'b'], levels: [{ values: [0, 10, 0, 0, 10, 0, 0] }, { values: [0, 8, 8, 0, 2, 2, 1, 0, 2, 2, 0, 8, 8, 2] }], leftTicks: 10, rightTicks: 10 });
    const changes = diffPalette('light');
    const { bars } = paint(diff, { buckets: diffBuckets(diff), diff: changes });
    expect(bars.map(({ color }) => color).sort()).toEqual([changes[0], changes[6], changes[12]].sort());
  });
  it('outlines a function, the pointed and the selected block', () => {
    expect(paint(tree, { marked: tree.names.indexOf('json.Marshal') }).outlines.length).toBe(1);
    const { context, drawn } = canvas();
    drawOver(context, [{ x: 10, y: 20, width: 30, color: 'red', line: 2 }], 20, 600, 80);
    expect(drawn.outlines).toEqual([{ x: 11, y: 21, width: 27, color: 'red', line: 2 }]);
    drawOver(context, [], 20, 600, 80);
    expect(drawn.outlines).toEqual([]);
  });
});

describe('flamebearer documents', () => {
  const document = (metadata: object, more: object = {}) => JSON.stringify({ version: 1, flamebearer: { names: ['total', 'a'], levels: [[0, 3, 0, 0], [0, 3, 3, 1]] }, metadata, ...more });
  it.each([
    [{ format: 'single', units: 'samples', sampleRate: 1e9 }, 'nanoseconds'],
    [{ format: 'single', units: 'samples', sampleRate: 100 }, 'count'],
    [{ format: 'single', units: 'objects', sampleRate: 100 }, 'count'],
    [{ format: 'single', units: 'bytes', sampleRate: 100 }, 'bytes'],
    [{ format: 'single', units: 'nanoseconds', sampleRate: 100 }, 'nanoseconds'],
  ])('%j', (metadata, unit) => {
    const read = fromFlamebearer(document(metadata));
    expect([text(read.tree), read.unit]).toEqual(['total 3(0)@0 / a 3(3)@0', unit]);
  });
  it('of two sides are diffs', () => {
    const levels = [[0, 3, 0, 0, 1, 0, 0], [0, 3, 3, 0, 1, 1, 1]];
    const { tree } = fromFlamebearer(document({ format: 'double', units: 'bytes' }, { flamebearer: { names: ['total', 'a'], levels }, leftTicks: 3, rightTicks: 1 }));
    expect([tree.sides?.leftTicks, tree.sides?.rightTotal[1]]).toEqual([3, 1]);
  });
  it('of nothing are empty', () => expect(fromFlamebearer('{}').tree.x.length).toBe(0));
});

describe('keys', () => {
  const tree = treeOf('a;b 50\na;c 70\nd 25');
  it('move to the heaviest child, to the parent and to neighbours', () => {
    expect(move(tree, 0, 'in')).toBe(1);
    expect(tree.names[tree.name[move(tree, 1, 'in')]]).toBe('c');
    expect(move(tree, 1, 'right')).toBe(2);
    expect(move(tree, 2, 'right')).toBe(2);
    expect(move(tree, 2, 'left')).toBe(1);
    expect(move(tree, 2, 'in')).toBe(2);
    expect(move(tree, 0, 'out')).toBe(0);
  });
});

describe('exports', () => {
  it('folded reads back to the same tree', () => {
    const stacks = 'a 1\na;b 2\na;b;c 3\nd;b 4\n';
    expect(folded(treeOf(stacks))).toBe(stacks);
    const large = synthetic(3000);
    expect(folded(treeOf(folded(large)))).toBe(folded(large));
  });
  it('folded keeps a semicolon out of names', () => expect(folded(treeOf('a 1')).length).toBe(4));
  it('walks parents before children', () => {
    const tree = synthetic(500);
    const place = new Map([...depthFirst(tree)].map((node, i) => [node, i]));
    for (let node = 1; node < tree.x.length; node++) expect(place.get(node)!).toBeGreaterThan(place.get(tree.parent[node])!);
  });
  it('SVG escapes names', () => {
    const tree = treeOf('<b>&"x" 1');
    const out = svg(tree, { title: 'a<b', width: 800, focus: 0, orientation: 'icicle', theme: 'light', colorBy: 'package', found: null, describe: (node) => tree.names[tree.name[node]] });
    expect(out).toContain('<title>a&lt;b</title>');
    expect(out).toContain('&lt;b&gt;&amp;&quot;x&quot;');
    expect(out).not.toContain('<b>');
  });
});

describe('colour', () => {
  it.each([
    ['github.com/acme/shop/cart.(*Cart).Add', 'github.com/acme/shop/cart'],
    ['runtime.mallocgc', 'runtime'],
    ['net/http.(*conn).serve', 'net/http'],
    ['java/util/HashMap.put', 'java/util/HashMap'],
    ['org.acme.shop.Cart.add', 'org.acme.shop'],
    ['core::ptr::drop_in_place<alloc::vec::Vec<u8>>', 'core'],
    ['/usr/lib/python3/json/decoder.py:decode', '/usr/lib/python3/json'],
    ['0x7f11', ''],
  ])('the package of %s is %s', (name, wanted) => expect(packageOf(name)).toBe(wanted));
  it('of a change goes by doublings', () => {
    expect(changeBucket(5, 100, 10, 200)).toBe(6);
    expect(changeBucket(5, 100, 10, 100)).toBe(12);
    expect(changeBucket(10, 100, 5, 100)).toBe(0);
    expect(changeBucket(0, 100, 1, 100)).toBe(12);
    expect(changeBucket(1, 100, 0, 100)).toBe(0);
  });
  it.each(['light', 'dark'] as const)('of a change is told apart without red or green, %s', (theme) => {
    const changes = diffPalette(theme);
    // How far a weak, a middle and a strong change are from their opposites; eyes with all colours see 0.07, 0.14 and 0.23.
    for (const eyes of [PROTANOPIA, DEUTERANOPIA]) for (const [step, apart] of [[1, 0.04], [3, 0.09], [6, 0.15]]) expect(distance(changes[6 - step], changes[6 + step], eyes)).toBeGreaterThan(apart);
  });
  it.each(['light', 'dark'] as const)('lets names be read, %s', (theme) => {
    const { fill, faded, plain, plainFaded, match, text, textFaded } = palette(theme);
    for (const color of [...fill, plain, match, ...diffPalette(theme)]) expect(contrast(text, color), color).toBeGreaterThan(4.5);
    for (const color of [...faded, plainFaded]) expect(contrast(textFaded, color), color).toBeGreaterThan(4.5);
  });
  it('comes from OKLCH', () => {
    expect(oklch(1, 0, 0)).toBe('#ffffff');
    expect(oklch(0.628, 0.2577, 29.23)).toMatch(/^#(ff|fe)0[0-3]0[0-3]$/);
  });
});

describe('texts on bars', () => {
  it.each([
    ['main', 24, 30, 'main'],
    ['github.com/acme/shop/cart.Add', 174, 60, 'cart.Add'],
    ['a_rather_long_name', 108, 60, 'a_rather…'],
    ['abcdef', 36, 10, ''],
  ])('%s', (name, full, room, wanted) => expect(fit(name, full, room)).toBe(wanted));
  it('drop the path but not a type argument', () => expect(shortName('a/b.Map[c/d.K]')).toBe('b.Map[c/d.K]'));
});

/** What eyes without one kind of cones see of linear RGB (Machado, Oliveira and Fernandes, 2009). */
const PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]];
const DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]];

const linear = (color: string) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));

/** How far two colours are apart in OKLab. */
function distance(one: string, two: string, eyes: number[][]): number {
  const times = (matrix: number[][], vector: number[]) => matrix.map((row) => row.reduce((sum, each, i) => sum + each * vector[i], 0));
  const lab = (color: string) => {
    const seen = times(eyes, linear(color)).map((part) => Math.max(0, Math.min(1, part)));
    const cones = times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], seen).map(Math.cbrt);
    return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], cones);
  };
  const [a, b] = [lab(one), lab(two)];
  return Math.hypot(...a.map((part, i) => part - b[i]));
}

/** As WCAG has it. */
function contrast(one: string, two: string): number {
  const light = (color: string) => linear(color).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const [most, least] = [light(one), light(two)].sort((a, b) => b - a);
  return (most + 0.05) / (least + 0.05);
}
