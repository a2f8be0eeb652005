// Numbers as people read them.

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
/** Units of time, as profilers write them. */
const NANOSECONDS: Record<string, number> = { nanoseconds: 1, nanosecond: 1, ns: 1, microseconds: 1e3, microsecond: 1e3, us: 1e3, µs: 1e3, milliseconds: 1e6, millisecond: 1e6, ms: 1e6, seconds: 1e9, second: 1e9, s: 1e9 };
const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P'];

/** Value of a unit of a profile type: `1.24 s`, `3.1 MiB`, `12.4k`. */
export function formatValue(value: number, unit: string): string {
  const time = NANOSECONDS[unit];
  if (time) return formatNanoseconds(value * time);
  switch (unit) {
    case 'bytes':
      return scaled(value, 1024, BINARY, ' ');
    case 'cores':
      return value === 0 ? '0' : value < 0.095 ? `${digits(value * 1000)}m cores` : `${digits(value)} cores`;
    case 's/s':
      return value !== 0 && Math.abs(value) < 0.095 ? `${digits(value * 1000)} ms/s` : `${digits(value)} s/s`;
    case 'bytes/s':
      return scaled(value, 1024, BINARY, ' ') + '/s';
    case 'count':
    case 'samples':
    case 'objects':
    case '':
      return scaled(value, 1000, DECIMAL, '');
    default:
      return `${scaled(value, 1000, DECIMAL, '')} ${unit}`;
  }
}

/** A value beside an axis whose unit is written elsewhere. */
export function formatAxis(value: number, unit: string): string {
  return unit === 'cores' ? digits(value) : formatValue(value, unit);
}

function formatNanoseconds(value: number): string {
  const size = Math.abs(value);
  if (size >= 3.6e12) return `${digits(value / 3.6e12)} h`;
  if (size >= 6e10 * 2) return `${digits(value / 6e10)} min`;
  if (size >= 1e9) return `${digits(value / 1e9)} s`;
  if (size >= 1e6) return `${digits(value / 1e6)} ms`;
  if (size >= 1e3) return `${digits(value / 1e3)} µs`;
  return `${digits(value)} ns`;
}

function scaled(value: number, base: number, units: string[], gap: string): string {
  let unit = 0;
  let rest = value;
  while (Math.abs(rest) >= base && unit + 1 < units.length) {
    rest /= base;
    unit++;
  }
  return `${digits(rest)}${units[unit] ? gap + units[unit] : ''}`;
}

/** Three digits that matter. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

/** `12.3 %`; small shares do not look like nothing. */
export function formatShare(value: number, whole: number): string {
  if (!(whole > 0)) return '0 %';
  const share = (value / whole) * 100;
  if (share > 0 && share < 0.01) return '<0.01 %';
  return `${share >= 99.995 ? '100' : share.toFixed(share < 10 ? 2 : 1)} %`;
}

/** `+1.24`, `−0.3` percentage points. */
export function formatChange(points: number): string {
  if (Math.abs(points) < 0.005) return '0';
  return `${points > 0 ? '+' : '−'}${Math.abs(points).toFixed(Math.abs(points) < 10 ? 2 : 1)}`;
}

/** A probability: `0.031`, `<0.0001`. */
export function formatChance(p: number): string {
  return p < 0.0001 ? '<0.0001' : p.toFixed(p < 0.001 ? 4 : 3);
}

export function formatCount(value: number): string {
  return value.toLocaleString('en-US').replaceAll(',', '\u202f');
}
