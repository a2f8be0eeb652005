// A flame graph with its tools: search, panes, table, sandwich, export. Used by every view that has a tree.

import { useCallback, useDeferredValue, useMemo, useRef, type ReactNode, type Ref } from 'react';
import { save } from '../data/share';
import { usePage } from '../data/state';
import { formatCount, formatShare, formatValue } from '../data/units';
import { NODES, type Pane, type State } from '../data/url';
import { callees, callers, collapseRecursion, hasRecursion } from '../flame/build';
import type { Theme } from '../flame/color';
import { folded } from '../flame/folded';
import { functions, heaviestNode, sortRows } from '../flame/functions';
import { search as searchTree } from '../flame/search';
import { svg } from '../flame/svg';
import { callSite, findKey, isEmpty, nodeCount, nodeKey, pathOf, type FlameTree } from '../flame/tree';
import { parseSpan, spanOf } from '../flame/zoom';
import { ExportMenu, type ExportItem } from '../ui/export-menu';
import { FlameGraph, type FlameHandle } from '../ui/flame-graph';
import { FunctionTable } from '../ui/function-table';
import { Icon } from '../ui/icons';
import { Popover } from '../ui/popover';
import { Segmented } from '../ui/segmented';
import { describeNode } from '../ui/tooltip';

interface Props {
  tree: FlameTree;
  /** Of its values. */
  unit: string;
  theme: Theme;
  title: string;
  /** What exported files are called by. */
  name: string;
  stale: boolean;
  /** One of two on the page: the key for searching is the other's. */
  second?: boolean;
  /** The pprof of these data, where there is one. */
  pprof?: () => Promise<void>;
  onCallSite?: (path: string[]) => void;
  /** The pane of functions over time; `open` shows a function in the graph. */
  trend?: (open: (name: string) => void) => ReactNode;
  /** The functions that changed, beside the graph; `open` as for `trend`. */
  changes?: (open: (name: string) => void) => ReactNode;
}

const PANES: { value: Pane; text: string; title: string }[] = [
  { value: 'both', text: 'Both', title: 'Table and flame graph' },
  { value: 'flame', text: 'Graph', title: 'Flame graph' },
  { value: 'table', text: 'Table', title: 'Table' },
  { value: 'sandwich', text: 'Sandwich', title: 'Callers and callees of one function' },
];

const TREND = { value: 'trend' as Pane, text: 'Trend', title: 'Top functions over time' };
const CHANGES = { value: 'changes' as Pane, text: 'Changes', title: 'Which functions changed beyond the noise' };

export function Analysis({ tree: whole, unit, theme, title, name, stale, second = false, pprof, onCallSite, trend, changes }: Props) {
  const { state, update, notify } = usePage();
  const recursive = useMemo(() => hasRecursion(whole), [whole]);
  const tree = useMemo(() => (state.collapse && recursive ? collapseRecursion(whole) : whole), [whole, state.collapse, recursive]);
  const query = useDeferredValue(state.search);
  const found = useMemo(() => searchTree(tree, query), [tree, query]);
  const zoom = useMemo(() => (state.focus ? Math.max(0, findKey(tree, state.focus)) : 0), [tree, state.focus]);
  const marked = useMemo(() => (state.func ? tree.names.indexOf(state.func) : -1), [tree, state.func]);
  const flame = useRef<FlameHandle>(null);
  const halves = [useRef<FlameHandle>(null), useRef<FlameHandle>(null)];
  const setZoom = useCallback((node: number) => update({ focus: node > 0 ? nodeKey(tree, node) : '' }), [tree, update]);
  const sandwich = useCallback((name: string) => update({ pane: 'sandwich', func: name }), [update]);
  const setPart = useCallback((part: string) => update({ part }, 'replace'), [update]);
  const focusOn = (label: string): Partial<State> => {
    const node = heaviestNode(tree, label);
    if (node < 0) notify('It is too small for this graph: ask for more nodes (Display)');
    return { func: label, focus: node > 0 ? nodeKey(tree, node) : '' };
  };
  const panes = [...PANES, ...(trend ? [TREND] : []), ...(changes ? [CHANGES] : [])];
  const pane = panes.some((each) => each.value === state.pane) ? state.pane : 'both';

  const exports: ExportItem[] = [
    { text: 'PNG', note: 'what is shown', run: () => savePng([flame, ...halves].flatMap((each) => each.current?.canvas() ?? []), `${name}.png`) },
    {
      text: 'SVG',
      note: 'all levels',
      run: () =>
        save(`${name}.svg`, svg(tree, { title, width: 1200, focus: zoom, span: parseSpan(state.part, spanOf(tree, 0)) ?? undefined, orientation: state.orientation, theme, colorBy: state.color, found: found?.names ?? null, describe: (node) => describeNode(tree, node, unit) }), 'image/svg+xml'),
    },
    { text: 'Folded stacks', note: 'text', run: () => save(`${name}.folded`, folded(tree), 'text/plain') },
    ...(pprof ? [{ text: 'pprof', note: 'gzipped', run: pprof }] : []),
  ];

  if (isEmpty(whole)) return null;
  const common = { tree, unit, theme, orientation: state.orientation, colorBy: state.color, found, onSandwich: sandwich } as const;
  const table = (
    <FunctionTable
      tree={tree}
      unit={unit}
      search={query}
      sort={state.sort === 'p' ? 'change' : state.sort}
      ascending={state.ascending}
      setSort={(sort, ascending) => update({ sort, ascending }, 'replace')}
      marked={marked}
      choose={(row) => update({ func: row.label === state.func && pane !== 'sandwich' ? '' : row.label }, 'replace')}
      open={(row) => sandwich(row.label)}
    />
  );
  return (
    <section className={stale ? 'analysis stale' : 'analysis'} aria-label="Flame graph and table">
      <div className="tools">
        <Segmented label="Pane" value={pane} options={panes} choose={(value) => update({ pane: value })} />
        <div className="search">
          <Icon name="search" />
          <input
            id={second ? undefined : 'search'}
            type="search"
            aria-label="Find functions"
            aria-keyshortcuts={second ? undefined : '/'}
            placeholder="Find functions"
            spellCheck={false}
            value={state.search}
            onChange={(event) => update({ search: event.target.value }, 'replace')}
            onKeyDown={(event) => {
              if (event.key !== 'Escape') return;
              event.stopPropagation();
              if (state.search) update({ search: '' }, 'replace');
              else event.currentTarget.blur();
            }}
          />
          {found ? (
            <span className="search-share" role="status">
              {formatShare(found.value, tree.total[0])}
              <span className="sr-only"> in {formatCount(found.nodes)} places</span>
            </span>
          ) : (
            !second && <kbd>/</kbd>
          )}
        </div>
        <span className="spacer" />
        {pane !== 'trend' && (
          <>
            <Options recursive={recursive} diff={tree.sides !== null} nodes={nodeCount(tree)} />
            <ExportMenu items={exports} fail={notify} />
          </>
        )}
      </div>
      {pane === 'trend' ? (
        trend?.((label) => update({ ...focusOn(label), pane: 'both', search: '' }))
      ) : (
        <>
          <Crumbs tree={tree} node={zoom} isPart={state.part !== ''} unit={unit} setZoom={setZoom} />
          <div className={`panes show-${pane}`}>
            {pane !== 'flame' && <div className="pane">{pane === 'changes' ? changes?.((label) => update(focusOn(label))) : table}</div>}
            {pane === 'sandwich' ? (
              <Sandwich {...common} func={state.func} handles={halves} />
            ) : (
              pane !== 'table' && (
                <div className="pane">
                  <FlameGraph
                    {...common}
                    ref={flame}
                    label={title}
                    zoom={zoom}
                    setZoom={setZoom}
                    part={state.part}
                    setPart={setPart}
                    marked={marked}
                    onSearch={(text) => update({ search: text }, 'replace')}
                    onElsewhere={(text) => update({ view: 'functions', find: text })}
                    onCallSite={onCallSite && ((node) => onCallSite(callSite(tree, node)))}
                  />
                </div>
              )
            )}
          </div>
        </>
      )}
    </section>
  );
}

/** What is shown; callers above callees. */
async function savePng(parts: HTMLCanvasElement[], name: string): Promise<void> {
  if (!parts.length) throw new Error('Show the flame graph first: PNG saves what is shown.');
  const whole = document.createElement('canvas');
  whole.width = Math.max(...parts.map((part) => part.width));
  whole.height = parts.reduce((sum, part) => sum + part.height, 0);
  const context = whole.getContext('2d');
  let top = 0;
  for (const part of parts) {
    context?.drawImage(part, 0, top);
    top += part.height;
  }
  const blob = await new Promise<Blob | null>((done) => whole.toBlob(done, 'image/png'));
  if (blob) save(name, blob, 'image/png');
}

function Options({ recursive, diff, nodes }: { recursive: boolean; diff: boolean; nodes: number }) {
  const { state, update } = usePage();
  return (
    <>
      <Segmented
        label="Direction"
        value={state.orientation}
        options={[
          { value: 'icicle', text: 'Icicle', title: 'Root on top' },
          { value: 'flame', text: 'Flame', title: 'Root at the bottom' },
        ]}
        choose={(orientation) => update({ orientation }, 'replace')}
      />
      <Popover label="Display" align="right" className="button quiet" button={<><span>Display</span><Icon name="chevron" /></>}>
        {() => (
          <div className="form">
            {!diff && (
              <div className="form-row">
                <span>Colour by</span>
                <Segmented
                  label="Colour by"
                  value={state.color}
                  options={[
                    { value: 'package', text: 'Package' },
                    { value: 'function', text: 'Function' },
                  ]}
                  choose={(color) => update({ color }, 'replace')}
                />
              </div>
            )}
            {diff && <DiffLegend />}
            <label className="form-row">
              <span>Collapse recursion</span>
              <input type="checkbox" checked={state.collapse} onChange={(event) => update({ collapse: event.target.checked }, 'replace')} />
            </label>
            {!recursive && <p className="hint">No function here calls itself directly.</p>}
            <label className="form-row">
              <span>Nodes at most</span>
              <select className="input" value={state.nodes} onChange={(event) => update({ nodes: Number(event.target.value) }, 'replace')}>
                {NODES.map((each) => (
                  <option key={each} value={each}>
                    {formatCount(each)}
                  </option>
                ))}
              </select>
            </label>
            <p className="hint">{formatCount(nodes)} nodes shown. What is too small is summed up in “other”.</p>
          </div>
        )}
      </Popover>
    </>
  );
}

export function DiffLegend() {
  return (
    <p className="legend-diff">
      <i className="swatch less" /> less
      <i className="swatch same" /> same
      <i className="swatch more" /> more
    </p>
  );
}

function Crumbs({ tree, node, isPart, unit, setZoom }: { tree: FlameTree; node: number; isPart: boolean; unit: string; setZoom: (node: number) => void }) {
  const path = pathOf(tree, node);
  const shown = path.length > 4 ? [path[0], ...path.slice(-3)] : path;
  return (
    <nav className="crumbs" aria-label="Focused block">
      {shown.map((each, i) => (
        <span key={each} className="crumb">
          {i > 0 && <span aria-hidden="true">{i === 1 && path.length > 4 ? ' … ' : ' › '}</span>}
          <button type="button" title={tree.names[tree.name[each]]} aria-current={each === node ? 'true' : undefined} onClick={() => setZoom(each)}>
            {tree.names[tree.name[each]]}
          </button>
        </span>
      ))}
      <span className="crumb-value">
        {tree.sides
          ? `${formatValue(tree.sides.leftTotal[node], unit)} → ${formatValue(tree.sides.rightTotal[node], unit)}`
          : `${formatValue(tree.total[node], unit)}${node > 0 ? ` · ${formatShare(tree.total[node], tree.total[0])}` : ''}`}
      </span>
      {(node > 0 || isPart) && (
        <button type="button" className="reset" onClick={() => setZoom(0)}>
          Reset <kbd>Esc</kbd>
        </button>
      )}
    </nav>
  );
}

type HalfProps = Omit<Parameters<typeof FlameGraph>[0], 'zoom' | 'setZoom' | 'marked' | 'label'>;
type SandwichProps = Omit<HalfProps, 'ref'> & { func: string; handles: Ref<FlameHandle>[] };

function Sandwich({ func, tree, handles, ...rest }: SandwichProps) {
  const heaviest = useMemo(() => sortRows(functions(tree), 'self', true)[0]?.name ?? -1, [tree]);
  const at = func ? tree.names.indexOf(func) : heaviest;
  const above = useMemo(() => (at >= 0 ? callers(tree, at) : null), [tree, at]);
  const below = useMemo(() => (at >= 0 ? callees(tree, at) : null), [tree, at]);
  if (!above || !below) return <p className="nothing">{func} is not in these data. Choose a function in the table.</p>;
  return (
    <div className="pane sandwich">
      <Half title="Callers" of={tree.names[at]} tree={above} {...rest} orientation="flame" focus="above" ref={handles[0]} />
      <Half title="Callees" of={tree.names[at]} tree={below} {...rest} orientation="icicle" focus="below" ref={handles[1]} />
    </div>
  );
}

function Half({ title, of, tree, focus, ...rest }: HalfProps & { title: string; of: string; focus: 'above' | 'below' }) {
  const { state, update } = usePage();
  const key = state[focus];
  const zoom = useMemo(() => (key ? Math.max(0, findKey(tree, key)) : 0), [tree, key]);
  const setZoom = useCallback((node: number) => update({ [focus]: node > 0 ? nodeKey(tree, node) : '' }), [tree, focus, update]);
  return (
    <div className="half">
      <p className="half-title">
        {title} of <b>{of}</b>
      </p>
      <FlameGraph {...rest} tree={tree} label={`${title} of ${of}`} zoom={zoom} setZoom={setZoom} marked={-1} />
    </div>
  );
}
