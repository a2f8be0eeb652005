// Ranges of time: `now-1h` stays relative in links, a brush makes it absolute (milliseconds).

export interface Range {
  from: string;
  until: string;
}

export interface Instants {
  start: number;
  end: number;
}

const UNITS: Record<string, number> = { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 };

const UNIT_NAMES: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };

export const PRESETS: { label: string; from: string }[] = [
  { label: 'Last 5 minutes', from: 'now-5m' },
  { label: 'Last 15 minutes', from: 'now-15m' },
  { label: 'Last 30 minutes', from: 'now-30m' },
  { label: 'Last hour', from: 'now-1h' },
  { label: 'Last 3 hours', from: 'now-3h' },
  { label: 'Last 6 hours', from: 'now-6h' },
  { label: 'Last 12 hours', from: 'now-12h' },
  { label: 'Last 24 hours', from: 'now-24h' },
];

/** Milliseconds of a text: `now`, `now-1h30m`, a number of seconds or milliseconds, `2026-11-23 08:30`. NaN if it is none. */
export function parseTime(text: string, now: number): number {
  const clean = text.trim();
  if (clean === 'now') return now;
  const relative = clean.match(/^now\s*-\s*((?:\d+\s*[smhdw]\s*)+)$/);
  if (relative) {
    let ago = 0;
    for (const [, count, unit] of relative[1].matchAll(/(\d+)\s*([smhdw])/g)) ago += Number(count) * UNITS[unit];
    return now - ago;
  }
  if (/^\d{12,14}$/.test(clean)) return Number(clean);
  if (/^\d{9,11}$/.test(clean)) return Number(clean) * 1000;
  const date = /^\d{4}-\d{2}-\d{2}$/.test(clean) ? `${clean}T00:00` : clean.replace(' ', 'T');
  return /^\d{4}-/.test(date) ? Date.parse(date) : Number.NaN;
}

export function resolve(range: Range, now: number): Instants {
  const end = parseTime(range.until, now);
  const start = parseTime(range.from, now);
  const goodEnd = Number.isFinite(end) ? end : now;
  return { start: Number.isFinite(start) && start < goodEnd ? Math.floor(start) : Math.floor(goodEnd - 3.6e6), end: Math.floor(goodEnd) };
}

/** The same range so long before: `1d`, `1w`; '' for the time just before it. Relative ranges stay so. */
export function earlier(range: Range, by: string, now: number): Range {
  const { start, end } = resolve(range, now);
  const ago = by || `${Math.round((end - start) / 1000)}s`;
  const [, count, unit] = ago.match(/^(\d+)([smhdw])$/)!;
  const move = (text: string, at: number) => (text === 'now' ? `now-${ago}` : /^now\s*-/.test(text) ? `${text}${ago}` : String(at - Number(count) * UNITS[unit]));
  return { from: move(range.from.trim(), start), until: move(range.until.trim(), end) };
}

export function rangeProblem(from: string, until: string, now: number): string | null {
  const start = parseTime(from, now);
  const end = parseTime(until, now);
  if (Number.isNaN(start)) return 'Start is not a time. Try now-1h or 2026-11-23 08:30.';
  if (Number.isNaN(end)) return 'End is not a time. Try now or 2026-11-23 09:00.';
  return start < end ? null : 'Start must be before end.';
}

export function describeRange(range: Range, now: number): string {
  if (range.until === 'now') {
    const preset = PRESETS.find((each) => each.from === range.from);
    if (preset) return preset.label;
    const [, count, unit] = range.from.match(/^now-(\d+)([smhdw])$/) ?? [];
    if (count) return `Last ${Number(count) === 1 ? UNIT_NAMES[unit] : `${count} ${UNIT_NAMES[unit]}s`}`;
    if (range.from.startsWith('now')) return `${range.from} to now`;
  }
  const { start, end } = resolve(range, now);
  const sameDay = localDate(start) === localDate(end);
  const today = sameDay && localDate(start) === localDate(now);
  // Of this year without it: two whole dates have no room in a button.
  const thisYear = [start, end].every((time) => new Date(time).getFullYear() === new Date(now).getFullYear());
  const date = (time: number) => `${localDate(time).slice(thisYear ? 5 : 0)} `;
  return `${today ? '' : date(start)}${localTime(start, end - start)} – ${sameDay ? '' : date(end)}${localTime(end, end - start)}`;
}

const two = (value: number) => String(value).padStart(2, '0');

export function localDate(time: number): string {
  const date = new Date(time);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function localTime(time: number, span = 0): string {
  const date = new Date(time);
  const seconds = span < 3.6e6 ? `:${two(date.getSeconds())}` : '';
  return `${two(date.getHours())}:${two(date.getMinutes())}${seconds}`;
}

const STEPS = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];

/** Seconds between points: about `points` of them, at least `least` seconds apart. */
export function step({ start, end }: Instants, points: number, least = 15): number {
  const wanted = Math.max(least, (end - start) / 1000 / Math.max(1, points));
  return STEPS.find((each) => each >= wanted) ?? STEPS[STEPS.length - 1];
}

/** Seconds between the points of a series as a rule; it may be sparser than its step, as a profile a minute in steps of 15 s is. */
export function spacing(times: readonly number[], step: number): number {
  const apart = times.slice(1).map((time, i) => (time - times[i]) / 1000);
  const median = apart.sort((a, b) => a - b)[(apart.length - 1) >> 1] ?? step;
  return Math.max(step, median);
}

/** Twice as wide or half, around the middle; never into the future. */
export function zoomRange({ start, end }: Instants, factor: number, now: number): Range {
  const middle = (start + end) / 2;
  const half = Math.max(5e3, ((end - start) / 2) * factor);
  const until = Math.min(now, middle + half);
  return { from: String(Math.round(Math.min(middle - half, until - 1e4))), until: String(Math.round(until)) };
}
