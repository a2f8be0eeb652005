// Calls of the server: Connect with JSON, at the address the page came from.

import { fromDiffLevels, fromLevels, type FlameTree, type WireFlameGraph } from '../flame/tree';
import { mergeProfileRequest } from './proto';
import type { Instants } from './time';

export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Call {
  tenant: string;
  signal?: AbortSignal;
  /** Told how much of the answer has come, in bytes. */
  progress?: (bytes: number) => void;
}

/** What a profile is chosen by. */
export interface Query extends Instants {
  type: string;
  selector: string;
}

function headers(tenant: string, contentType: string): HeadersInit {
  const base: Record<string, string> = { 'content-type': contentType, accept: '*/*;allow-utf8-labelnames=true' };
  return tenant ? { ...base, 'X-Scope-OrgID': tenant } : base;
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const { code, message } = JSON.parse(text) as { code?: string; message?: string };
    return new ApiError(code ?? String(response.status), message || `the server answered ${response.status}`);
  } catch {
    return new ApiError(String(response.status), text.trim().slice(0, 300) || `the server answered ${response.status}`);
  }
}

async function bytesOf(response: Response, progress?: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  if (!response.body || !progress) return new Uint8Array(await response.arrayBuffer());
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    progress(size);
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function querier<T>(method: string, body: unknown, call: Call): Promise<T> {
  const response = await fetch(`/querier.v1.QuerierService/${method}`, {
    method: 'POST',
    headers: headers(call.tenant, 'application/json'),
    body: JSON.stringify(body),
    signal: call.signal,
  });
  if (!response.ok) throw await failure(response);
  return JSON.parse(new TextDecoder().decode(await bytesOf(response, call.progress))) as T;
}

interface LabelPair {
  name?: string;
  value?: string;
}

export function labelMap(labels: LabelPair[] | undefined): Record<string, string> {
  return Object.fromEntries((labels ?? []).map(({ name = '', value = '' }) => [name, value]));
}

export async function services(range: Instants, call: Call): Promise<string[]> {
  return labelValues('service_name', [], range, call);
}

export async function labelValues(name: string, matchers: string[], range: Instants, call: Call): Promise<string[]> {
  const answer = await querier<{ names?: string[] }>('LabelValues', { name, matchers, ...range }, call);
  return answer.names ?? [];
}

/** Names that a person may filter by. */
export async function labelNames(matchers: string[], range: Instants, call: Call): Promise<string[]> {
  const answer = await querier<{ names?: string[] }>('LabelNames', { matchers, ...range }, call);
  return (answer.names ?? []).filter((name) => !name.startsWith('__'));
}

/** Ids of the types that a service has. */
export async function profileTypes(selector: string, range: Instants, call: Call): Promise<string[]> {
  const body = { matchers: [selector], labelNames: ['__profile_type__'], ...range };
  const answer = await querier<{ labelsSet?: { labels?: LabelPair[] }[] }>('Series', body, call);
  const ids = (answer.labelsSet ?? []).map((set) => labelMap(set.labels).__profile_type__).filter(Boolean);
  return [...new Set(ids)].sort();
}

export interface Stacks {
  maxNodes: number;
  profileIds: string[];
  spans: string[];
}

function stacktraces(query: Query, { maxNodes, profileIds }: Stacks) {
  const { type, selector, start, end } = query;
  return { profileTypeID: type, labelSelector: selector, start, end, maxNodes, ...(profileIds.length ? { profileIdSelector: profileIds } : {}) };
}

export async function flameGraph(query: Query, stacks: Stacks, call: Call): Promise<FlameTree> {
  const spans = stacks.spans.length > 0;
  const body = { ...stacktraces(query, stacks), ...(spans ? { spanSelector: stacks.spans } : {}) };
  const answer = await querier<{ flamegraph?: WireFlameGraph }>(spans ? 'SelectMergeSpanProfile' : 'SelectMergeStacktraces', body, call);
  return fromLevels(answer.flamegraph ?? {});
}

export async function diff(left: Query, right: Query, maxNodes: number, call: Call): Promise<FlameTree> {
  const stacks = { maxNodes, profileIds: [], spans: [] };
  const answer = await querier<{ flamegraph?: WireFlameGraph }>('Diff', { left: stacktraces(left, stacks), right: stacktraces(right, stacks) }, call);
  return fromDiffLevels(answer.flamegraph ?? {});
}

export interface Series {
  labels: Record<string, string>;
  times: number[];
  values: number[];
}

interface WireSeries {
  labels?: LabelPair[];
  points?: { value?: number; timestamp?: string | number }[];
}

export interface SeriesOptions {
  step: number;
  groupBy: string[];
  average: boolean;
  limit: number;
  callSite?: string[];
}

export async function series(query: Query, options: SeriesOptions, call: Call): Promise<Series[]> {
  const body = {
    profileTypeID: query.type,
    labelSelector: query.selector,
    start: query.start,
    end: query.end,
    step: options.step,
    groupBy: options.groupBy,
    limit: options.groupBy.length ? options.limit : undefined,
    aggregation: options.average ? 1 : 0,
    ...(options.callSite?.length ? { stackTraceSelector: { callSite: options.callSite.map((name) => ({ name })) } } : {}),
  };
  const answer = await querier<{ series?: WireSeries[] }>('SelectSeries', body, call);
  return (answer.series ?? []).map(({ labels, points = [] }) => ({
    labels: labelMap(labels),
    times: points.map((point) => Number(point.timestamp ?? 0)),
    values: points.map((point) => Number(point.value ?? 0)),
  }));
}

export interface Exemplar {
  time: number;
  value: number;
  profileId: string;
  spanId: string;
  labels: Record<string, string>;
}

export interface HeatSlot {
  time: number;
  yMin: number[];
  counts: number[];
  exemplars: Exemplar[];
}

interface WireSlot {
  timestamp?: string | number;
  yMin?: number[];
  counts?: number[];
  exemplars?: { timestamp?: string | number; value?: string | number; profileId?: string; spanId?: string; labels?: LabelPair[] }[];
}

export async function heatmap(query: Query, step: number, spans: boolean, call: Call): Promise<HeatSlot[]> {
  const kind = spans ? 2 : 1;
  const body = { profileTypeID: query.type, labelSelector: query.selector, start: query.start, end: query.end, step, queryType: kind, exemplarType: kind + 1 };
  const answer = await querier<{ series?: { slots?: WireSlot[] }[] }>('SelectHeatmap', body, call);
  return (answer.series?.[0]?.slots ?? []).map((slot) => ({
    time: Number(slot.timestamp ?? 0),
    yMin: slot.yMin ?? [],
    counts: slot.counts ?? [],
    exemplars: (slot.exemplars ?? []).map((each) => ({
      time: Number(each.timestamp ?? 0),
      value: Number(each.value ?? 0),
      profileId: each.profileId ?? '',
      spanId: each.spanId ?? '',
      labels: labelMap(each.labels),
    })),
  }));
}

/** The merged profile as pprof bytes: the answer in protobuf is the file. */
export async function pprof(query: Query, profileIds: string[], call: Call): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch('/querier.v1.QuerierService/SelectMergeProfile', {
    method: 'POST',
    headers: headers(call.tenant, 'application/proto'),
    body: mergeProfileRequest({ ...query, profileIds }),
    signal: call.signal,
  });
  if (!response.ok) throw await failure(response);
  return bytesOf(response);
}

/** `POST /ingest`. */
export async function ingest(parameters: Record<string, string>, body: Uint8Array<ArrayBuffer>, contentType: string, call: Call): Promise<void> {
  const response = await fetch(`/ingest?${new URLSearchParams(parameters)}`, { method: 'POST', headers: headers(call.tenant, contentType), body, signal: call.signal });
  if (!response.ok) throw await failure(response);
}

/** Whether this tenant has any profile, and since when. */
export async function stats(call: Call): Promise<{ ingested: boolean; oldest: number; newest: number }> {
  const answer = await querier<{ dataIngested?: boolean; oldestProfileTime?: string; newestProfileTime?: string }>('GetProfileStats', {}, call);
  return { ingested: answer.dataIngested ?? false, oldest: Number(answer.oldestProfileTime ?? 0), newest: Number(answer.newestProfileTime ?? 0) };
}
