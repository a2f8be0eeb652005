import { describe, expect, it } from 'vitest';
import { pprofOf, stacktracesRequest, withTime } from '../src/data/proto';
import { parseMatchers, selector, wantedAt, withMatcher } from '../src/data/selector';
import { describeRange, earlier, parseTime, rangeProblem, resolve, step, zoomRange } from '../src/data/time';
import { closestType, isGauge, parseType, preferredType, seriesValue, typeLabel } from '../src/data/types';
import { formatChance, formatChange, formatShare, formatValue } from '../src/data/units';
import { DEFAULTS, format, parse } from '../src/data/url';

const NOW = 1_800_000_000_000;

describe('units', () => {
  it.each([
    [1_240_000_000, 'nanoseconds', '1.24 s'],
    [90e9, 'nanoseconds', '90 s'],
    [1_500, 'nanoseconds', '1.5 µs'],
    [7.2e12, 'nanoseconds', '2 h'],
    [39_700_000, 'microseconds', '39.7 s'],
    [4, 'ms', '4 ms'],
    [12, 'samples', '12'],
    [7, 'sheep', '7 sheep'],
    [3_250_000, 'bytes', '3.1 MiB'],
    [12_400, 'count', '12.4k'],
    [0, 'bytes', '0 B'],
    [0.25, 'cores', '0.25 cores'],
    [0.025, 'cores', '25m cores'],
  ])('%d %s is %s', (value, unit, wanted) => expect(formatValue(value, unit)).toBe(wanted));
  it('shares', () => {
    expect([formatShare(1, 3), formatShare(5, 100), formatShare(1, 1e9), formatShare(1, 0), formatShare(3, 3)]).toEqual(['33.3 %', '5.00 %', '<0.01 %', '0 %', '100 %']);
    expect([formatChance(0.0123), formatChance(0.00034), formatChance(1e-9)]).toEqual(['0.012', '0.0003', '<0.0001']);
    expect([formatChange(1.239), formatChange(-12.34), formatChange(0.001)]).toEqual(['+1.24', '−12.3', '0']);
  });
});

describe('time', () => {
  it.each([
    ['now', NOW],
    ['now-1h', NOW - 3.6e6],
    ['now-1h30m', NOW - 5.4e6],
    ['1800000000', NOW],
    ['1800000000000', NOW],
    ['2027-01-15 08:00', Date.parse('2027-01-15T08:00')],
    ['yesterday', Number.NaN],
    ['', Number.NaN],
  ])('%s', (text, wanted) => expect(parseTime(text, NOW)).toBe(wanted));
  it('resolves what cannot be read to the last hour', () => expect(resolve({ from: 'x', until: 'y' }, NOW)).toEqual({ start: NOW - 3.6e6, end: NOW }));
  it('says what is wrong', () => {
    expect(rangeProblem('now', 'now-1h', NOW)).toMatch(/before/);
    expect(rangeProblem('x', 'now', NOW)).toMatch(/Start/);
    expect(rangeProblem('now-1h', 'now', NOW)).toBeNull();
  });
  it('takes nice steps', () => {
    expect(step({ start: NOW - 3.6e6, end: NOW }, 240)).toBe(15);
    expect(step({ start: NOW - 8.64e7, end: NOW }, 240)).toBe(600);
  });
  it.each([
    ['now-1h', 'now', 'Last hour'],
    ['now-20m', 'now', 'Last 20 minutes'],
    ['now-1h30m', 'now', 'now-1h30m to now'],
    ['2027-01-15 07:00', '2027-01-15 08:00', '07:00 – 08:00'],
    ['2027-01-15 07:00:10', '2027-01-15 07:10', '07:00:10 – 07:10:00'],
    ['2027-01-13 23:30', '2027-01-14 00:30', '01-13 23:30 – 01-14 00:30'],
    ['2026-12-31 23:30', '2027-01-01 00:30', '2026-12-31 23:30 – 2027-01-01 00:30'],
  ])('%s until %s is called %s', (from, until, wanted) => expect(describeRange({ from, until }, Date.parse('2027-01-15T12:00'))).toBe(wanted));
  it.each([
    [{ from: 'now-1h', until: 'now' }, '1d', { from: 'now-1h1d', until: 'now-1d' }],
    [{ from: 'now-90m', until: 'now-30m' }, '', { from: 'now-90m3600s', until: 'now-30m3600s' }],
    [{ from: String(NOW - 1000), until: String(NOW) }, '1w', { from: String(NOW - 1000 - 6.048e8), until: String(NOW - 6.048e8) }],
  ])('%j is earlier by %s as %j', (range, by, wanted) => {
    expect(earlier(range, by, NOW)).toEqual(wanted);
    const [now, then] = [resolve(range, NOW), resolve(wanted, NOW)];
    expect(then.end - then.start).toBe(now.end - now.start);
    expect(now.start - then.start).toBeGreaterThan(0);
  });
  it('never zooms into the future', () => expect(Number(zoomRange({ start: NOW - 1000, end: NOW }, 4, NOW).until)).toBeLessThanOrEqual(NOW));
});

describe('selectors', () => {
  it('are read with all operators and quotes', () => {
    expect(parseMatchers(`{a="x", b!='y',c=~"z.*", "d.e"!~\`w\`,}`)).toEqual({
      matchers: [
        { name: 'a', op: '=', value: 'x' },
        { name: 'b', op: '!=', value: 'y' },
        { name: 'c', op: '=~', value: 'z.*' },
        { name: 'd.e', op: '!~', value: 'w' },
      ],
    });
  });
  it.each([['a', /operator/], ['a=x', /quotes/], ['="x"', /name/], ['a="x', /quotes/]])('%s is refused', (text, wanted) => {
    expect((parseMatchers(text) as { error: string }).error).toMatch(wanted);
  });
  it('are written with escapes', () => {
    expect(selector('my "app"', 'k8s.pod="a\\\\b"')).toBe('{service_name="my \\"app\\"", "k8s.pod"="a\\\\b"}');
    expect(selector('', '')).toBe('{}');
  });
  it('take one matcher a name', () => expect(withMatcher('a="1", b="2"', { name: 'a', op: '=', value: '3' })).toBe('b="2", a="3"'));
  it.each([
    ['', 0, { kind: 'name', prefix: '', from: 0, to: 0 }],
    ['re', 2, { kind: 'name', prefix: 're', from: 0, to: 2 }],
    ['region="e', 9, { kind: 'value', name: 'region', prefix: 'e', from: 7, to: 9 }],
    ['region=', 7, { kind: 'value', name: 'region', prefix: '', from: 7, to: 7 }],
    ['region="eu", v', 14, { kind: 'name', prefix: 'v', from: 13, to: 14 }],
    ['region ', 7, { kind: 'op', name: 'region', from: 7, to: 7 }],
  ])('%s at %d wants', (text, cursor, wanted) => expect(wantedAt(text, cursor)).toEqual(wanted));
});

describe('links', () => {
  it('of the defaults are empty', () => expect(format(DEFAULTS)).toBe(''));
  it('read back to the same state', () => {
    const state = {
      ...DEFAULTS, view: 'compare' as const, tenant: 'a|b', service: 'shop & co', part: '0.25-0.5', trace: 'ab', cell: '1800000000000.12', above: '2.x', below: '3.y', by: 'total' as const, top: 20, pane: 'changes' as const, sure: 99.9, least: 0.5, find: 'a b', file: 'x-1', against: 'y-2', filter: 'a="x", b=~"y+"', collapse: true, nodes: 65536, sort: 'p' as const,
      left: { service: 'cart', type: 'a:b:c:d:e', filter: 'v="1"', from: 'now-2h', until: 'now-1h' }, right: { service: '', type: '', filter: 'v="2"', from: '', until: '' },
    };
    expect(parse(format(state))).toEqual(state);
  });
  it('of spans in the heatmap lead to their view', () => expect(parse('?view=heatmap&heat=spans').view).toBe('spans'));
  it('of before the sides had services have them in common', () => expect(parse('?view=compare&service=shop&left.filter=a&right.from=now-1h')).toMatchObject({ left: { service: '', type: '', filter: 'a' }, right: { service: '', from: 'now-1h' } }));
  it('hold no token', () => expect(Object.keys(DEFAULTS)).not.toContain('token'));
  it('drop what they do not know', () => expect(parse('?view=evil&nodes=7&sort=x&foo=1')).toEqual(DEFAULTS));
});

describe('types', () => {
  it('have names for people', () => {
    expect(typeLabel('process_cpu:cpu:nanoseconds:cpu:nanoseconds')).toBe('CPU');
    expect(typeLabel('otel:off_cpu:nanoseconds::')).toBe('otel off cpu');
  });
  it('start with CPU', () => expect(preferredType(['memory:x:y:z:', 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'])).toMatch(/^process_cpu/));
  it.each([
    [['memory:a:bytes:b:c', 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'], 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'],
    [['block:delay:nanoseconds:b:c', 'process_cpu:cpu:nanoseconds::'], 'process_cpu:cpu:nanoseconds::'],
    [['ebpf:cpu:nanoseconds::', 'ebpf:cpu:count::'], 'ebpf:cpu:nanoseconds::'],
    [['block:delay:nanoseconds:b:c', 'process_cpu:cpu:count::'], ''],
  ])('of %j CPU is %s', (ids, wanted) => expect(closestType(ids, 'process_cpu:cpu:nanoseconds:cpu:nanoseconds')).toBe(wanted));
  it('become rates where they add up', () => {
    expect(seriesValue(parseType('process_cpu:cpu:nanoseconds:cpu:nanoseconds'), 30e9, 15)).toEqual({ value: 2, unit: 'cores' });
    expect(seriesValue(parseType('block:delay:nanoseconds:contentions:count'), 3e9, 15)).toEqual({ value: 0.2, unit: 's/s' });
    expect(isGauge(parseType('memory:inuse_space:bytes:space:bytes'))).toBe(true);
  });
});

describe('protobuf', () => {
  it('of a request', () => {
    const request = { type: 'ab', selector: '{}', start: 300, end: 0, profileIds: ['x'], spans: ['s'], traces: ['t'] };
    expect([...stacktracesRequest(request)]).toEqual([10, 2, 97, 98, 18, 2, 123, 125, 24, 172, 2, 48, 4, 66, 1, 120, 82, 1, 116, 90, 1, 115]);
  });
  it.each([
    // Field 1 with a length, field 5 around field 1.
    [[10, 1, 9, 42, 4, 10, 2, 7, 8], [7, 8]],
    [[8, 150, 1, 13, 1, 2, 3, 4, 42, 2, 10, 0], []],
    [[42, 3, 10], []],
    [[], []],
    [[255, 255], []],
  ])('of an answer %j', (bytes, wanted) => expect([...pprofOf(Uint8Array.from(bytes))]).toEqual(wanted));
  it('of a time behind a profile', () => expect([...withTime(Uint8Array.of(1), 0.001)]).toEqual([1, 72, 0]));
});
