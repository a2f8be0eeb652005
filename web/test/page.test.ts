import { describe, expect, it } from 'vitest';
import { filterNames } from '../src/data/filter';
import { fileName } from '../src/data/share';
import { detect, inflate, serviceOf } from '../src/data/upload';
import { stack, table } from '../src/ui/time-chart';
import { sideRange } from '../src/views/compare';
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
    const lines = [{ label: 'a', times: [1000, 3000], values: [1, 3] }, { label: 'b', times: [2000], values: [2] }];
    expect(table(lines, { start: 1000, end: 3000 }, 1)).toEqual([[1, 2, 3], [1, null, 3], [null, 2, null]]);
  });
  it('keep points that lie off the range', () => {
    expect(table([{ label: 'a', times: [3500, 5500], values: [1, 2] }], { start: 1000, end: 6000 }, 2)).toEqual([[1.5, 3.5, 5.5], [null, 1, 2]]);
  });
  it('lie on each other in a stack', () => {
    expect(stack([[1, 2], [1, null], [2, 3]])).toEqual([[1, 2], [1, 0], [3, 3]]);
  });
});

describe('a comparison', () => {
  const whole = { start: 0, end: 100 };
  const none = { filter: '', from: '', until: '' };
  it('is of the first and the second half', () => {
    expect(sideRange(none, 'left', whole, 0)).toEqual({ start: 0, end: 50 });
    expect(sideRange(none, 'right', whole, 0)).toEqual({ start: 51, end: 100 });
  });
  it('by labels is of the whole', () => expect(sideRange({ ...none, filter: 'a="1"' }, 'left', whole, 0)).toEqual(whole));
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
