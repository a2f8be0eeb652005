import { describe, expect, it } from 'vitest';
import { filterNames } from '../src/data/filter';
import { fileName } from '../src/data/share';
import { impliedBy } from '../src/data/state';
import { tenantProblem } from '../src/data/auth';
import { base64, detect, inflate, serviceOf } from '../src/data/upload';
import { parseType, seriesValues } from '../src/data/types';
import { spacing } from '../src/data/time';
import { DEFAULTS } from '../src/data/url';
import { exemplarsOf, findCell, nextCell } from '../src/ui/heat-grid';
import { lonely, stack, table } from '../src/ui/time-chart';
import { formatRelative, scaleOf, sortChanges } from '../src/ui/change-table';
import { verdict } from '../src/views/changes';
import { rangesOf, sideRange, swapped, titleOf, withRanges } from '../src/views/compare';
import { nameOf } from '../src/views/files';
import { bySize } from '../src/views/functions';
import { distinct, idsIn } from '../src/views/spans';
import { linesOf, regular } from '../src/views/trend';
import { commands } from '../src/views/welcome';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('files', () => {
  it.each([
    ['cpu.pb', Uint8Array.of(0x0a, 4, 8, 1), 'pprof'],
    ['heap.pprof', Uint8Array.of(0x12, 4), 'pprof'],
    ['rec', bytes('FLR\0\x00\x02'), 'jfr'],
    ['a.speedscope.json', bytes('{"profiles":[]}'), 'speedscope'],
    ['b.json', bytes('{"$schema":"https://www.speedscope.app/file-format-schema.json"}'), 'speedscope'],
    ['c.json', bytes('{"version":1,"flamebearer":{}}'), 'other'],
    ['out.perf', bytes('java 4711/4712 [001] 12.345678: cycles:\n\tffff main (x)\n'), 'other'],
    ['perf.txt', bytes('main;a b;c 12\nmain 3\n'), 'folded'],
    ['photo.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), null],
    ['notes.txt', bytes('hello world'), null],
  ])('%s', (name, head, wanted) => expect(detect(name, head)).toBe(wanted));
  it.each([['cpu.pb.gz', 'cpu'], ['my tool.folded', 'my-tool'], ['a.speedscope.json', 'a'], ['…', 'upload']])('%s is kept as %s', (name, wanted) => expect(serviceOf(name)).toBe(wanted));
  it('are inflated', async () => {
    const stream = new Blob([bytes('main 1')]).stream().pipeThrough(new CompressionStream('gzip'));
    const zipped = new Uint8Array(await new Response(stream).arrayBuffer());
    expect(new TextDecoder().decode(await inflate(zipped))).toBe('main 1');
  });
  it('are sent as base64, whatever their size', () => {
    const large = Uint8Array.from({ length: 100_001 }, (_, i) => (i * 7) % 256);
    expect(Uint8Array.from(atob(base64(large)), (char) => char.charCodeAt(0))).toEqual(large);
    expect(base64(Uint8Array.of())).toBe('');
  });
  it.each([['01M8HYE1E3WVBQBXQ6SRRBQ7D2-6c617267652e7062', 'large.pb'], ['01M8HYE1E3WVBQBXQ6SRRBQ7D2-', '01M8HYE1E3WVBQBXQ6SRRBQ7D2-'], ['x-zz', 'x-zz']])('%s is called %s', (id, wanted) => expect(nameOf(id)).toBe(wanted));
  it('have names that any system takes', () => expect(fileName('shop/Checkout', 'Memory in use', '')).toBe('shop-checkout-memory-in-use'));
});

describe('names', () => {
  it('are found by words, the best first', () => {
    expect(filterNames(['a-checkout', 'checkout', 'xcheckout', 'cart'], 'check')).toEqual(['checkout', 'a-checkout', 'xcheckout']);
    expect(filterNames(['edge/gateway', 'edge/auth'], 'gate edge')).toEqual(['edge/gateway']);
    expect(filterNames(['b', 'a'], ' ')).toEqual(['b', 'a']);
  });
});

describe('series', () => {
  it('share one grid, with holes where a line has no point', () => {
    const lines = [{ label: 'a', times: [1000, 2000, 5000], values: [1, 2, 5] }, { label: 'b', times: [2000], values: [2] }];
    expect(table(lines, { start: 1000, end: 5000 }, 1)).toEqual([[1, 2, 3, 4, 5], [1, 2, null, null, 5], [null, 2, null, null, null]]);
  });
  it('are joined where points are as far apart as they are as a rule', () => {
    const [, column] = table([{ label: 'a', times: [0, 60_000, 120_000, 300_000], values: [1, 2, 3, 4] }], { start: 0, end: 300_000 }, 30);
    expect(Array.from(column, (value) => (value === undefined ? '-' : value))).toEqual([1, '-', 2, '-', 3, null, null, null, null, null, 4]);
    expect([spacing([0, 60_000, 120_000, 300_000], 30), spacing([0], 30), spacing([0, 30_000, 60_000, 240_000], 30)]).toEqual([60, 30, 30]);
  });
  it('show points that no line leads to', () => {
    expect(lonely([1, undefined, 2, null, 3, null, undefined, 4])).toEqual([4, 7]);
    expect(lonely([])).toEqual([]);
  });
  it('keep points that lie off the range', () => {
    expect(table([{ label: 'a', times: [3500, 5500], values: [1, 2] }], { start: 1000, end: 6000 }, 2)).toEqual([[1.5, 3.5, 5.5], [null, 1, 2]]);
  });
  it('lie on each other in a stack', () => {
    expect(stack([[1, 2], [1, null], [2, 3]])).toEqual([[1, 2], [1, 0], [3, 3]]);
  });
  it('count each value for the time to the next one', () => {
    expect(seriesValues(parseType('process_cpu:cpu:nanoseconds:cpu:nanoseconds'), [0, 60_000], [30e9, 60e9], 15)).toEqual([0.5, 1]);
  });
});

describe('a heatmap', () => {
  const exemplar = (value: number, spanId = '') => ({ time: 0, value, profileId: `p${value}`, spanId, traceId: '', labels: {} });
  const slots = [
    { time: 0, yMin: [0, 10, 20], counts: [2, 0, 1], exemplars: [exemplar(5, 'a'), exemplar(25, 'b')] },
    { time: 1, yMin: [0, 10, 20], counts: [0, 3, 0], exemplars: [exemplar(15, 'a')] },
    { time: 2, yMin: [0, 10, 20], counts: [0, 0, 0], exemplars: [] },
  ];
  it('gives the exemplars of a cell, or all by size', () => {
    expect(exemplarsOf(slots, { slot: 0, row: 2 }).map((each) => each.value)).toEqual([25]);
    expect(exemplarsOf(slots, null).map((each) => each.value)).toEqual([25, 15, 5]);
    expect(distinct(exemplarsOf(slots, null)).map((each) => each.value)).toEqual([25, 15]);
  });
  it.each([
    [null, 'ArrowRight', { slot: 0, row: 2 }],
    [{ slot: 0, row: 2 }, 'ArrowDown', { slot: 0, row: 0 }],
    [{ slot: 0, row: 2 }, 'ArrowUp', { slot: 0, row: 2 }],
    [{ slot: 0, row: 2 }, 'ArrowRight', { slot: 1, row: 1 }],
    [{ slot: 1, row: 1 }, 'ArrowRight', { slot: 1, row: 1 }],
    [{ slot: 1, row: 1 }, 'ArrowLeft', { slot: 0, row: 0 }],
  ])('from %j by %s to %j', (from, key, to) => expect(nextCell(slots, from, key)).toEqual(to));
  it.each([['1.1', { slot: 1, row: 1 }], ['1.0', null], ['9.1', null], ['', null], ['x', null]])('finds the cell of a link: %s', (text, wanted) => expect(findCell(slots, text)).toEqual(wanted));
  it('of nothing has no cell', () => expect(nextCell([], null, 'ArrowUp')).toBeNull());
  it('is opened by ids from anywhere', () => {
    expect(idsIn('trace=0AF7651916CD43DD8448EB211C80319C span b7ad6b7169203331, b7ad6b7169203331')).toEqual({ spans: ['b7ad6b7169203331'], traces: ['0af7651916cd43dd8448eb211c80319c'] });
    expect(idsIn('deadbeef')).toEqual({ spans: [], traces: [] });
  });
});

describe('functions over time', () => {
  const found = { step: 10, times: [0, 10_000], totals: [40e9, 20e9], functions: [{ name: 'f', values: [20e9, 10e9] }, { name: 'g', values: [10e9, 10e9] }], found: 2 };
  const cpu = parseType('process_cpu:cpu:nanoseconds:cpu:nanoseconds');
  it('are rates, with the rest on top of a stack', () => {
    expect(linesOf(found, cpu, 'light', true).map(({ label, values }) => [label, values])).toEqual([['f', [2, 1]], ['g', [1, 1]], ['everything else', [1, 0]]]);
    expect(linesOf(found, cpu, 'light', false).length).toBe(2);
    expect(linesOf({ ...found, functions: [] }, cpu, 'light', true)).toEqual([]);
  });
  it('are no comb where profiles are sparse', () => {
    const sparse = { step: 15, times: [0, 15e3, 30e3, 45e3, 60e3], totals: [6, 0, 0, 0, 12], functions: [{ name: 'f', values: [3, 0, 0, 0, 0] }], found: 1 };
    expect(regular(sparse)).toEqual({ ...sparse, step: 60, times: [0, 60e3], totals: [6, 12], functions: [{ name: 'f', values: [3, 0] }] });
    expect(regular(found)).toBe(found);
  });
});

describe('services of a function', () => {
  const place = (service: string, total: number | null) => ({ service, total, self: null, types: [], files: [], first: 0, last: 0 });
  it('stand by what they spend in it', () => {
    expect(bySize([place('c', null), place('b', 0.1), place('a', null), place('d', 0.5)]).map((each) => each.service)).toEqual(['d', 'b', 'a', 'c']);
  });
});

describe('tenants', () => {
  it.each([['', true], ['team-a', true], ["a|b.c_d!(e)*'", true], ['a|', false], ['a b', false], ['..', false], ['a/b', false], ['x'.repeat(151), false]])('%s', (tenant, good) => expect(tenantProblem(tenant) === null).toBe(good));
});

describe('a comparison', () => {
  const whole = { start: 0, end: 100 };
  const none = { service: '', type: '', filter: '', from: '', until: '' };
  const same = { left: none, right: none };
  it('is of the first and the second half', () => {
    expect(sideRange(same, 'left', whole, 0)).toEqual({ start: 0, end: 50 });
    expect(sideRange(same, 'right', whole, 0)).toEqual({ start: 51, end: 100 });
  });
  it.each([{ filter: 'a="1"' }, { service: 'cart' }, { type: 'x:y:z:a:b' }])('by %j is of the whole, on both sides', (own) => {
    expect(sideRange({ left: none, right: { ...none, ...own } }, 'left', whole, 0)).toEqual(whole);
    expect(sideRange({ left: none, right: { ...none, ...own } }, 'right', whole, 0)).toEqual(whole);
  });
  it('goes the other way round', () => {
    const cart = { ...none, service: 'cart' };
    expect(swapped({ left: none, right: cart }, whole, 0)).toEqual({ left: cart, right: none });
    expect(swapped(same, whole, 0)).toEqual({ left: { ...none, from: '51', until: '100' }, right: { ...none, from: '0', until: '50' } });
  });
  it.each(['before', 'day', 'week', ''])('of the range with what was %s', (value) => {
    const state = { left: none, right: { ...none, filter: 'a="1"' }, from: 'now-1h', until: 'now' };
    const next = withRanges(state, value, 0);
    expect(rangesOf({ ...state, ...next }, 0)).toBe(value);
    expect(next.right.filter).toBe('a="1"');
    expect(withRanges({ ...state, ...next }, '', 0)).toEqual({ left: state.left, right: state.right });
  });
  it('may have ranges of its own', () => {
    const state = { left: { ...none, from: 'now-2h', until: 'now-1h' }, right: none, from: 'now-1h', until: 'now' };
    expect(rangesOf(state, 0)).toBe('own');
    expect(withRanges(state, 'day', 0).left).toMatchObject({ from: 'now-1h1d', until: 'now-1d' });
  });
  it('is called by what it compares', () => {
    const shop = { service: 'shop', type: 'process_cpu:cpu:nanoseconds:cpu:nanoseconds' };
    expect(titleOf(shop, shop)).toBe('shop · CPU · diff');
    expect(titleOf(shop, { service: 'cart', type: 'wall:wall:nanoseconds:wall:nanoseconds' })).toBe('shop · CPU → cart · Wall clock');
  });
  it('forgets the types of its sides with the common one, and only then', () => {
    const before = { ...DEFAULTS, type: 'a:b:c:d:e', left: { ...none, service: 'cart', type: 'f:b:c:d:e' } };
    expect(impliedBy({ type: 'memory:x:bytes:y:bytes' }, before)).toMatchObject({ left: { service: 'cart', type: '' } });
    expect(impliedBy({ type: 'a:b:c:d:e' }, before)).not.toHaveProperty('left');
    expect(impliedBy({ type: 'a:b:c:d:e' }, { ...before, type: '' })).not.toHaveProperty('left');
  });
});

describe('what changed', () => {
  const change = (name: string, before: number, after: number, p = 0.001) => ({ name, before, after, change: after - before, low: after - before - 0.005, high: after - before + 0.005, relative: before ? after / before - 1 : null, p });
  const rows = [change('b', 0.1, 0.07), change('a', 0.2, 0.22, 0.04), change('new', 0, 0.01)];
  const asked = { by: 'self' as const, confidence: 0.95, least: 0, limit: 9 };
  const found = { asked, profiles: [240, 1200] as [number, number], tested: 40, changed: rows, changedCount: 3, unjudged: [], unjudgedCount: 0, leftOut: 0 };
  it('is said in plain words', () => {
    const { title, text } = verdict(found);
    expect(title).toBe('3 of 40 functions changed beyond the noise');
    expect(text).toBe('Most of all b, from 10.0 % to 7.00 %. Over 240 and 1\u202f200 profiles, the chance that any of them is a false alarm is at most 5 %.');
    expect(verdict({ ...found, tested: 4, asked: { ...asked, confidence: 0.999 } }).text).toMatch(/at most 0.1 %. Where one function grows, all others/);
    expect(verdict({ ...found, changed: [], changedCount: 0, asked: { ...asked, by: 'total', least: 0.005 } })).toEqual({
      title: 'No function changed by 0.5 percentage points or more beyond the noise',
      text: 'Over 240 and 1\u202f200 profiles, the shares of 40 functions differ no more than chance explains, or by less. More profiles show smaller changes.',
    });
  });
  it('cannot be told of too few profiles, and says why', () => {
    const few = { ...found, profiles: [2, 240] as [number, number], tested: 0, changed: [], changedCount: 0, unjudgedCount: 9, unjudged: [{ name: 'a', before: 0, after: 1, reason: 'the baseline has 2 profiles, 5 are the fewest' }] };
    expect(verdict(few)).toMatchObject({ title: 'Too few profiles to tell', text: expect.stringMatching(/^The baseline has 2 profiles, 5 are the fewest\. Choose longer ranges/) });
    expect(verdict({ ...few, unjudged: [], unjudgedCount: 0 }).title).toBe('No functions here');
  });
  it.each([
    ['change', false, 'b a new'],
    ['change', true, 'b new a'],
    ['name', true, 'a b new'],
    ['left', false, 'a b new'],
    ['p', true, 'b new a'],
  ] as const)('is sorted by %s, ascending %s', (key, ascending, wanted) => expect(sortChanges(rows, key, ascending).map((row) => row.name).join(' ')).toBe(wanted));
  it('has one scale with zero on it', () => {
    const { x, ticks } = scaleOf(rows);
    expect(ticks.map((tick) => Math.round(tick * 1000))).toEqual([-20, 0, 20]);
    expect(x(-0.035)).toBeGreaterThan(0);
    expect(x(0.025)).toBeLessThan(100);
    expect(scaleOf([]).ticks).toContain(0);
  });
  it.each([[null, 'new'], [1.17, '+117 %'], [-0.085, '−8.5 %'], [11, '×12'], [-1, '−100 %']])('%s is %s', (relative, wanted) => expect(formatRelative(relative)).toBe(wanted));
});

describe('first steps', () => {
  it('name this server and the tenant', () => {
    for (const { text } of commands('http://x:4040', 'team-a')) {
      expect(text).toContain('http://x:4040');
      expect(text).toContain('team-a');
    }
    expect(commands('http://x:4040', '').some(({ text }) => /tenant/i.test(text))).toBe(false);
  });
});
