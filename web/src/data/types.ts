// Profile types: `process_cpu:cpu:nanoseconds:cpu:nanoseconds` as people say it, and what its values mean over time.

import { spacing } from './time';

export interface ProfileType {
  id: string;
  name: string;
  sampleType: string;
  unit: string;
}

export function parseType(id: string): ProfileType {
  const [name = '', sampleType = '', unit = ''] = id.split(':');
  return { id, name, sampleType, unit };
}

const KNOWN: Record<string, string> = {
  'process_cpu:cpu': 'CPU',
  'process_cpu:samples': 'CPU samples',
  'process_cpu:sample': 'CPU samples',
  'memory:inuse_space': 'Memory in use',
  'memory:inuse_objects': 'Objects in use',
  'memory:alloc_space': 'Memory allocated',
  'memory:alloc_objects': 'Objects allocated',
  'memory:alloc_in_new_tlab_bytes': 'Memory allocated',
  'memory:alloc_in_new_tlab_objects': 'Objects allocated',
  'goroutine:goroutine': 'Goroutines',
  'goroutines:goroutine': 'Goroutines',
  'mutex:contentions': 'Mutex contentions',
  'mutex:delay': 'Mutex delay',
  'block:contentions': 'Block contentions',
  'block:delay': 'Block delay',
  'wall:wall': 'Wall clock',
};

export function typeLabel(id: string): string {
  const type = parseType(id);
  return KNOWN[`${type.name}:${type.sampleType}`] ?? `${type.name} ${type.sampleType.replaceAll('_', ' ')}`.trim();
}

/** The type to start with: CPU, then whatever comes first. */
export function preferredType(ids: string[]): string {
  return ids.find((id) => id.startsWith('process_cpu:cpu:')) ?? ids.find((id) => id.includes('cpu')) ?? ids[0] ?? '';
}

/** Of the types that a service has, the one that says the same as `wanted`: itself, or what another profiler calls so; '' if none does. */
export function closestType(ids: readonly string[], wanted: string): string {
  const { name, sampleType, unit } = parseType(wanted);
  const alike = ids.filter((id) => parseType(id).unit === unit);
  return ids.find((id) => id === wanted) ?? alike.find((id) => id.startsWith(`${name}:${sampleType}:`)) ?? alike.find((id) => parseType(id).sampleType === sampleType) ?? '';
}

/** Types that are a state rather than something that adds up. */
export function isGauge(type: ProfileType): boolean {
  return /^(inuse_|goroutine|live)/.test(type.sampleType);
}

/** A second in these units. */
const SECOND: Record<string, number> = { nanoseconds: 1e9, microseconds: 1e6, milliseconds: 1e3, seconds: 1 };

/** What a bucket of `step` seconds shows: a rate for what adds up, the value for what is a state. */
export function seriesValue(type: ProfileType, value: number, step: number): { value: number; unit: string } {
  if (isGauge(type)) return { value, unit: type.unit };
  const second = SECOND[type.unit];
  if (second) return { value: value / second / step, unit: /cpu/.test(type.sampleType) ? 'cores' : 's/s' };
  return { value: value / step, unit: type.unit === 'bytes' ? 'bytes/s' : `${type.unit === 'count' ? '' : type.unit}/s` };
}

/** Values of a series over time; each counts for the time to the next one. */
export function seriesValues(type: ProfileType, times: readonly number[], values: readonly number[], step: number): number[] {
  const every = spacing(times, step);
  return values.map((value) => seriesValue(type, value, every).value);
}
