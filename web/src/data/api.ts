// Calls of the server: Connect with JSON, at the address the page came from.

import { fromFlamebearer } from '../flame/flamebearer';
import { quoteRegex } from '../flame/search';
import { fromDiffLevels, fromLevels, type FlameTree, type WireFlameGraph } from '../flame/tree';
import { token } from './auth';
import { pprofOf, stacktracesRequest } from './proto';
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

/** The code of a 401 that wants a token; one that wants a tenant has that of the server, `unauthenticated`. */
export const TOKEN_NEEDED = 'token_needed';

function headers(tenant: string, contentType?: string): HeadersInit {
  const base: Record<string, string> = { accept: '*/*;allow-utf8-labelnames=true', 'X-Requested-With': 'XMLHttpRequest' };
  if (contentType) base['content-type'] = contentType;
  if (tenant) base['X-Scope-OrgID'] = tenant;
  if (token()) base.authorization = `Bearer ${token()}`;
  return base;
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text();
  const wantsToken = response.status === 401 && response.headers.has('www-authenticate');
  try {
    const { code, message } = JSON.parse(text) as { code?: string; message?: string };
    return new ApiError(wantsToken ? TOKEN_NEEDED : (code ?? String(response.status)), message || `the server answered ${response.status}`);
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

async function rpc<T>(method: string, body: unknown, call: Call): Promise<T> {
  return json<T>(await send(`/${method}`, body, call), call);
}

function querier<T>(method: string, body: unknown, call: Call): Promise<T> {
  return rpc<T>(`querier.v1.QuerierService/${method}`, body, call);
}

/** A plain GET. */
async function get<T>(path: string, parameters: Record<string, string>, call: Call): Promise<T> {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`, { headers: headers(call.tenant), signal: call.signal });
  return json<T>(response, call);
}

/** A POST of JSON. */
function send(path: string, body: unknown, call: Call): Promise<Response> {
  return fetch(path, { method: 'POST', headers: headers(call.tenant, 'application/json'), body: JSON.stringify(body), signal: call.signal });
}

async function json<T>(response: Response, call: Call): Promise<T> {
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

/** What a flame graph is narrowed to besides labels: single profiles, spans, traces. Empty lists narrow nothing. */
export interface Stacks {
  maxNodes: number;
  profileIds?: string[];
  spans?: string[];
  traces?: string[];
}

function stacktraces(query: Query, { maxNodes, profileIds, traces }: Stacks) {
  const { type, selector, start, end } = query;
  return {
    profileTypeID: type,
    labelSelector: selector,
    start,
    end,
    maxNodes,
    ...(profileIds?.length ? { profileIdSelector: profileIds } : {}),
    ...(traces?.length ? { traceIdSelector: traces } : {}),
  };
}

export async function flameGraph(query: Query, stacks: Stacks, call: Call): Promise<FlameTree> {
  const body = { ...stacktraces(query, stacks), ...(stacks.spans?.length ? { spanSelector: stacks.spans } : {}) };
  const answer = await querier<{ flamegraph?: WireFlameGraph }>('SelectMergeStacktraces', body, call);
  return fromLevels(answer.flamegraph ?? {});
}

export async function diff(left: Query, right: Query, maxNodes: number, call: Call): Promise<FlameTree> {
  const answer = await querier<{ flamegraph?: WireFlameGraph }>('Diff', { left: stacktraces(left, { maxNodes }), right: stacktraces(right, { maxNodes }) }, call);
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
  traceId: string;
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
  exemplars?: { timestamp?: string | number; value?: string | number; profileId?: string; spanId?: string; traceId?: string; labels?: LabelPair[] }[];
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
      traceId: each.traceId ?? '',
      labels: labelMap(each.labels),
    })),
  }));
}

/** The merged profile as pprof bytes. */
export async function pprof(query: Query, { profileIds = [], spans = [], traces = [] }: Omit<Stacks, 'maxNodes'>, call: Call): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch('/querier.v1.QuerierService/SelectMergeStacktraces', {
    method: 'POST',
    headers: headers(call.tenant, 'application/proto'),
    body: stacktracesRequest({ ...query, profileIds, spans, traces }),
    signal: call.signal,
  });
  if (!response.ok) throw await failure(response);
  return pprofOf(await bytesOf(response));
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

/** One function over time; both lists are as long as `times`. */
export interface FunctionLine {
  name: string;
  values: number[];
}

export interface FunctionSeries {
  step: number;
  times: number[];
  /** Of all functions together. */
  totals: number[];
  functions: FunctionLine[];
  /** How many there are before the limit. */
  found: number;
}

export type FunctionsBy = 'self' | 'total';

interface WireFunctionSeries {
  step_ms?: number;
  timestamps?: number[];
  totals?: number[];
  functions?: { function?: string; self?: number[]; total?: number[] }[];
  found?: number;
}

export interface FunctionSeriesOptions {
  /** Seconds. */
  step: number;
  limit: number;
  by: FunctionsBy;
  /** Only this one, or those whose whole name matches (RE2). */
  function?: string;
  regex?: string;
}

/** The largest functions over time. */
export async function functionSeries(query: Query, { step, limit, by, function: name = '', regex = '' }: FunctionSeriesOptions, call: Call): Promise<FunctionSeries> {
  const parameters = {
    query: `${query.type}${query.selector}`,
    from: String(query.start),
    until: String(query.end),
    step: String(step),
    limit: String(limit),
    by,
    ...(name ? { function: name } : {}),
    ...(regex ? { regex } : {}),
  };
  const answer = await get<WireFunctionSeries>('/api/v1/functions/series', parameters, call);
  const times = answer.timestamps ?? [];
  return {
    step: (answer.step_ms || step * 1000) / 1000,
    times,
    totals: answer.totals ?? [],
    functions: (answer.functions ?? []).map((each) => ({ name: each.function ?? '', values: each[by] ?? [] })),
    found: answer.found ?? answer.functions?.length ?? 0,
  };
}

/** A file of the ad hoc service, without its content. */
export interface AdHocFile {
  id: string;
  name: string;
  /** Milliseconds. */
  uploaded: number;
}

/** What of a file is looked at. */
export interface AdHocGraph extends AdHocFile {
  tree: FlameTree;
  unit: string;
  type: string;
  types: string[];
}

interface WireFile {
  id?: string;
  name?: string;
  uploadedAt?: string | number;
  profileType?: string;
  profileTypes?: string[];
  flamebearerProfile?: string;
}

const ADHOC = 'adhocprofiles.v1.AdHocProfileService';

export async function files(call: Call): Promise<AdHocFile[]> {
  const answer = await rpc<{ profiles?: WireFile[] }>(`${ADHOC}/List`, {}, call);
  return (answer.profiles ?? []).map(fileOf).sort((a, b) => b.uploaded - a.uploaded);
}

export async function file(id: string, type: string, maxNodes: number, call: Call): Promise<AdHocGraph> {
  const answer = await rpc<WireFile>(`${ADHOC}/Get`, { id, profileType: type || undefined, maxNodes }, call);
  const { tree, unit } = fromFlamebearer(answer.flamebearerProfile ?? '{}');
  return { ...fileOf(answer), tree, unit, type: answer.profileType ?? '', types: answer.profileTypes ?? [] };
}

export async function fileDiff(left: string, right: string, type: string, maxNodes: number, call: Call): Promise<Omit<AdHocGraph, keyof AdHocFile>> {
  const answer = await rpc<WireFile>(`${ADHOC}/Diff`, { leftId: left, rightId: right, profileType: type || undefined, maxNodes }, call);
  const types = answer.profileTypes ?? [];
  return { ...fromFlamebearer(answer.flamebearerProfile ?? '{}'), type: type || (types[0] ?? ''), types };
}

/** The file as base64; the answer tells its id. */
export async function uploadFile(name: string, profile: string, call: Call): Promise<AdHocFile> {
  return fileOf(await rpc<WireFile>(`${ADHOC}/Upload`, { name, profile, maxNodes: 1 }, call));
}

function fileOf({ id = '', name = '', uploadedAt = 0 }: WireFile): AdHocFile {
  return { id, name, uploaded: Number(uploadedAt) };
}

/** A service that ran a function. */
export interface FunctionPlace {
  service: string;
  types: string[];
  files: string[];
  /** Milliseconds, as `last`. */
  first: number;
  last: number;
  /** Its shares of the service's whole, 0 to 1, where they were asked for; null where the service has none. */
  self: number | null;
  total: number | null;
}

/** A function of the index, and the services that ran it. */
export interface IndexedFunction {
  name: string;
  services: FunctionPlace[];
}

interface WireIndex {
  functions?: { name?: string; services?: WirePlace[] }[];
  more?: boolean;
}

interface WirePlace {
  service_name?: string;
  profile_types?: string[];
  files?: string[];
  first_ms?: number;
  last_ms?: number;
  self?: (number | null)[];
  total?: (number | null)[];
}

const INDEX = '/api/v1/functions';

/** Functions whose names match. */
export async function functionIndex(regex: string, range: Instants, limit: number, call: Call): Promise<{ functions: IndexedFunction[]; more: boolean }> {
  const answer = await get<WireIndex>(INDEX, { regex, from: String(range.start), until: String(range.end), limit: String(limit) }, call);
  return { functions: (answer.functions ?? []).map(functionOf), more: answer.more ?? false };
}

/** One function with its shares of each service's whole, of one profile type. */
export async function functionShares(name: string, type: string, range: Instants, call: Call): Promise<FunctionPlace[]> {
  // Points are at the start and at the end; that of the end is the whole range.
  const step = String(Math.max(1, Math.floor((range.end - range.start) / 1000)));
  const parameters = { regex: quoteRegex(name), query: `${type}{}`, shares: '1', from: String(range.start), until: String(range.end), step, limit: '1' };
  const answer = await get<WireIndex>(INDEX, parameters, call);
  return (answer.functions ?? []).map(functionOf)[0]?.services ?? [];
}

function functionOf({ name = '', services = [] }: NonNullable<WireIndex['functions']>[number]): IndexedFunction {
  return {
    name,
    services: services.map((each) => ({
      service: each.service_name ?? '',
      types: each.profile_types ?? [],
      files: each.files ?? [],
      first: each.first_ms ?? 0,
      last: each.last_ms ?? 0,
      self: each.self?.at(-1) ?? null,
      total: each.total?.at(-1) ?? null,
    })),
  };
}

/** A function whose share of the whole changed; shares are 0 to 1. */
export interface FunctionChange {
  name: string;
  before: number;
  after: number;
  change: number;
  /** Where the change lies for sure: an interval of this function alone. */
  low: number;
  high: number;
  /** The change as a part of the share before; null for a new function. */
  relative: number | null;
  /** How likely so large a change is by chance, corrected for the number of functions. */
  p: number;
}

export interface UnjudgedFunction {
  name: string;
  before: number;
  after: number;
  reason: string;
}

/** Which functions changed, the largest change first, and what that rests on. */
export interface Comparison {
  asked: CompareOptions;
  /** Profiles of the baseline and of the comparison. */
  profiles: [number, number];
  tested: number;
  changed: FunctionChange[];
  changedCount: number;
  unjudged: UnjudgedFunction[];
  unjudgedCount: number;
  leftOut: number;
}

export interface CompareOptions {
  by: FunctionsBy;
  /** 0 to 1: one minus the chance of any false alarm. */
  confidence: number;
  /** The smallest change told, as a part of the whole. */
  least: number;
  limit: number;
}

interface WireChange {
  function?: string;
  baseline?: number;
  candidate?: number;
  change?: number;
  change_low?: number;
  change_high?: number;
  relative?: number | null;
  p_adjusted?: number;
  reason?: string;
}

interface WireComparison {
  baseline?: { profiles?: number };
  candidate?: { profiles?: number };
  tested?: number;
  changed?: WireChange[];
  changed_count?: number;
  unjudged?: WireChange[];
  unjudged_count?: number;
  left_out?: number;
}

const COMPARE = '/api/v1/compare';

function comparison(left: Query, right: Query, { by, confidence, least, limit }: CompareOptions) {
  const side = ({ selector, start, end }: Query) => ({ query: selector, from: String(start), until: String(end) });
  return { profile_type: left.type, baseline: side(left), candidate: side(right), by, confidence, min_change: least, limit };
}

/** The outcome as a table for a pull request. */
export async function compareMarkdown(left: Query, right: Query, asked: CompareOptions, call: Call): Promise<string> {
  const response = await send(`${COMPARE}?format=markdown`, comparison(left, right, asked), call);
  if (!response.ok) throw await failure(response);
  return response.text();
}

/** Tests which functions changed between two sets of profiles of one type. */
export async function compareFunctions(left: Query, right: Query, asked: CompareOptions, call: Call): Promise<Comparison> {
  const answer = await json<WireComparison>(await send(COMPARE, comparison(left, right, asked), call), call);
  const common = ({ function: name = '', baseline: before = 0, candidate: after = 0 }: WireChange) => ({ name, before, after });
  return {
    asked,
    profiles: [answer.baseline?.profiles ?? 0, answer.candidate?.profiles ?? 0],
    tested: answer.tested ?? 0,
    changed: (answer.changed ?? []).map((each) => ({ ...common(each), change: each.change ?? 0, low: each.change_low ?? 0, high: each.change_high ?? 0, relative: each.relative ?? null, p: each.p_adjusted ?? 1 })),
    changedCount: answer.changed_count ?? 0,
    unjudged: (answer.unjudged ?? []).map((each) => ({ ...common(each), reason: each.reason ?? '' })),
    unjudgedCount: answer.unjudged_count ?? 0,
    leftOut: answer.left_out ?? 0,
  };
}
